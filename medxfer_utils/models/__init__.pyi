# fmt: off
# ruff: noqa: I001, E501
from .architectures import image_network as image_network, reinitialised as reinitialised
from .architectures import tabular_network as tabular_network, unet as unet
from .augmentation import flips_and_turns as flips_and_turns
from .augmentation import flips_turns_and_contrast as flips_turns_and_contrast
from .backbones import backbone as backbone, weights_url as weights_url
from .base import Array as Array, Classical as Classical, Labels as Labels, Predicts as Predicts
from .base import Rows as Rows, Strategy as Strategy, Training as Training, rows as rows
from .base import Transferable as Transferable, fit_scaler as fit_scaler
from .base import log_odds_of as log_odds_of, predicting as predicting, ranking as ranking
from .combined import Average as Average
from .few import prototype_logit as prototype_logit, reptile as reptile, uncertainty_weighted as uncertainty_weighted
from .fusion import Modalities as Modalities
from .linear import Linear as Linear, logistic_loss as logistic_loss
from .linear import posterior_mode as posterior_mode
from .network import Model as Model
from .penalties import Anchor as Anchor, MapDistance as MapDistance, Penalty as Penalty
from .penalties import Seen as Seen, Shrink as Shrink, SpectralShrinkage as SpectralShrinkage
from .surgery import backbone_layers as backbone_layers, blocks as blocks, norms as norms
from .surgery import channel_attention as channel_attention, convolutions as convolutions
from .surgery import merged as merged, trainable as trainable, with_adapters as with_adapters
from .surgery import with_backbone_of as with_backbone_of, with_film as with_film, with_lora as with_lora
from .training import Penalised as Penalised, copied as copied, outputs as outputs, train as train
from .training import with_statistics_of as with_statistics_of
