"""Learning curves: what each stage of a training did, epoch by epoch."""

import msgspec


class StageHistory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stage: the head alone, the top blocks, or the whole network.

    Attributes:
        name: `head`, `top 3 blocks`, `all`.
        curves: Name -> one value an epoch. Always `loss`, `accuracy`, `val_loss`,
            `val_calibrated_loss` (at the best temperature), `val_accuracy` (accuracies 0..1,
            losses in nats) and `learning_rate`.
        best_epoch: The epoch, from 1, whose weights were kept; 0: those before the stage.
        seconds: Duration of the stage without interruptions.
    """

    name: str
    curves: dict[str, list[float]]
    best_epoch: int
    seconds: float
