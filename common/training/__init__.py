"""The training loop and what it stands on: checkpoints, metrics, optimizers, workdirs."""
