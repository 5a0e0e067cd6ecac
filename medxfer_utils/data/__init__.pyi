# fmt: off
# ruff: noqa: I001
from .catalogue import HEART as HEART, KNOWN_COPIES as KNOWN_COPIES, LIDC as LIDC, PARTS as PARTS
from .catalogue import REGISTRY as REGISTRY, SETS as SETS, WEIGHTS as WEIGHTS, ImageSet as ImageSet
from .catalogue import RemoteFile as RemoteFile
from .files import ChecksumError as ChecksumError, ContentError as ContentError
from .files import DataError as DataError, DownloadError as DownloadError
from .files import cache_folder as cache_folder, fetch as fetch, find_local as find_local
from .files import imagenet_weights as imagenet_weights, keras_cache as keras_cache
from .files import sums_of as sums_of, verify as verify
from .folder import Pictures as Pictures, breast_ultrasound as breast_ultrasound
from .folder import chest_xrays as chest_xrays, image_folder as image_folder
from .hospitals import CODES as CODES, DIAGNOSES as DIAGNOSES, HEART_FEATURES as HEART_FEATURES
from .hospitals import SHARED as SHARED, STATISTICS as STATISTICS, encoded as encoded
from .hospitals import four_hospitals as four_hospitals, heart_hospitals as heart_hospitals
from .hospitals import heart_statistics as heart_statistics, read_hospital as read_hospital
from .hospitals import restricted as restricted, simulated_hospitals as simulated_hospitals
from .image_sets import MedMNIST as MedMNIST, Nodules as Nodules, Part as Part
from .image_sets import lidc_nodules as lidc_nodules, medmnist as medmnist
from .laboratories import breast_cancer as breast_cancer, two_laboratories as two_laboratories
from .lesions import Lesions as Lesions, msd_cohort as msd_cohort
from .lesions import read_lung_and_liver as read_lung_and_liver
from .own import ARRAYS as ARRAYS, own_arrays as own_arrays
from .scans import Volume as Volume, read_dicom as read_dicom, read_nifti as read_nifti
from .scans import resample as resample
