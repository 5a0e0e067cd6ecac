# fmt: off
# ruff: noqa: I001
from .gate import CANNOT_TELL as CANNOT_TELL, KEEP_OUT as KEEP_OUT, LEVEL as LEVEL
from .gate import TRANSFER as TRANSFER, VERDICTS as VERDICTS, Answer as Answer, ask_gate as ask_gate
from .gate import gated as gated, held_out_losses as held_out_losses, log_losses as log_losses
from .hospitals import common_scaler as common_scaler, mixture as mixture, one_each as one_each
from .hospitals import one_hospital as one_hospital, pooled as pooled, recalibrated as recalibrated
from .hospitals import regularised as regularised, similarity as similarity, stacked as stacked
from .scores import h_score as h_score, leep as leep, logme as logme, transrate as transrate
from .strategies import bss as bss, classical as classical, classical_head as classical_head
from .strategies import delta as delta, discriminative_rates as discriminative_rates
from .strategies import ensemble as ensemble, fine_tuned as fine_tuned
from .strategies import first_blocks_frozen as first_blocks_frozen
from .strategies import frozen_features as frozen_features, gradually_unfrozen as gradually_unfrozen
from .strategies import joint as joint, joint_batches as joint_batches, l1_sp as l1_sp
from .strategies import l2_sp as l2_sp, lora as lora, lp_ft as lp_ft, penalised as penalised
from .strategies import residual_adapters as residual_adapters, restandardised as restandardised
from .strategies import target_only as target_only
