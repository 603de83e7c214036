"""Learning curves: what each stage of a training did, epoch by epoch."""

import msgspec

from edgetl.options import Monitor


class StageHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage: the head alone, the top blocks, or the whole network.

    Attributes:
        name: `head`, `top 3 blocks`, `all`.
        curves: Name -> one value an epoch. Always `loss`, `accuracy`, `val_loss`,
            `val_calibrated_loss` (at the best temperature), `val_accuracy` (accuracies 0..1,
            losses in nats) and `learning_rate`.
        best_epoch: The epoch, from 1, whose weights were kept; 0: those before the stage.
        seconds: Duration of the stage without interruptions.
        monitor: What chose `best_epoch`.
    """

    name: str
    curves: dict[str, list[float]]
    best_epoch: int
    seconds: float
    monitor: Monitor = "calibrated"

    @property
    def val_losses(self) -> list[float]:
        """The validation loss that is shown, one value an epoch: the one that chose the epoch.

        At the best temperature, as the finished model has it, unless the loss as it is was to
        choose. An accuracy that chose has its own curve.
        """
        return self.curves["val_loss" if self.monitor == "loss" else "val_calibrated_loss"]
