# ruff: noqa: I001
from .catalogue import KNOWN_COPIES as KNOWN_COPIES, REGISTRY as REGISTRY, RemoteFile as RemoteFile
from .catalogue import BREAST as BREAST, HEART as HEART, ImageSet as ImageSet, WEIGHTS as WEIGHTS
from .catalogue import LIDC as LIDC, PARTS as PARTS, SETS as SETS
from .files import ChecksumError as ChecksumError, imagenet_weights as imagenet_weights
from .files import ContentError as ContentError, DownloadError as DownloadError, sums_of as sums_of
from .files import cache_folder as cache_folder, DataError as DataError, keras_cache as keras_cache
from .files import fetch as fetch, find_local as find_local, verify as verify
from .breast import breast_recurrence as breast_recurrence, read_breast as read_breast
from .folder import Pictures as Pictures, breast_ultrasound as breast_ultrasound
from .folder import chest_xrays as chest_xrays, image_folder as image_folder
from .heartbeats import heartbeats as heartbeats, simulated_ecg as simulated_ecg
from .hospitals import CODES as CODES, DIAGNOSES as DIAGNOSES, HEART_FEATURES as HEART_FEATURES
from .hospitals import encoded as encoded, SHARED as SHARED, STATISTICS as STATISTICS
from .hospitals import four_hospitals as four_hospitals, heart_hospitals as heart_hospitals
from .hospitals import heart_statistics as heart_statistics, read_hospital as read_hospital
from .hospitals import restricted as restricted, simulated_hospitals as simulated_hospitals
from .image_sets import MedMNIST as MedMNIST, medmnist as medmnist, Nodules as Nodules, Part as Part
from .image_sets import lidc_nodules as lidc_nodules
from .laboratories import breast_cancer as breast_cancer, two_laboratories as two_laboratories
from .lesions import msd_cohort as msd_cohort, read_lung_and_liver as read_lung_and_liver
from .own import ARRAYS as ARRAYS, own_arrays as own_arrays
from .records import read_record as read_record
from .scans import read_dicom as read_dicom, read_nifti as read_nifti, Volume as Volume
from .scans import resample as resample
