"""Measure loading, or train: `python train.py sampler=uniform data.root=FOLDER run_model=true`."""

from __future__ import annotations

from lit_video.support.errors import ended_by_ctrl_c, told_in_a_sentence

KEPT = "what is indexed is kept, and so are checkpoints"

with ended_by_ctrl_c(KEPT):  # this takes seconds
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.utils import instantiate
    from lightning import Trainer
    from omegaconf import DictConfig

    from lit_video.datamodule import VideoDataModule
    from lit_video.measuring.throughput import Throughput, print_report
    from lit_video.sweep.callback import others_go_on
    from lit_video.training.after_fit import after_fit
    from lit_video.training.going_on import checkpoint_to_resume, ended_by_sigterm
    from lit_video.training.models import NoModel


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Compose, instantiate, run."""
    with others_go_on(), told_in_a_sentence(), ended_by_sigterm():
        run(cfg)


def run(cfg: DictConfig) -> None:
    """Train on the data, and write `throughput.json` into Hydra's folder of this run."""
    datamodule: VideoDataModule = instantiate(cfg.data)
    model = instantiate(cfg.model) if cfg.run_model else NoModel()
    choices = HydraConfig.get().runtime.choices
    describe = {group: choices[group] for group in ("sampler", "decoder", "transform")}
    throughput = Throughput(HydraConfig.get().runtime.output_dir, describe | {"run_model": cfg.run_model})
    trainer: Trainer = instantiate(cfg.trainer, callbacks=[throughput, *instantiate(cfg.callbacks).values()])
    trainer.fit(model, datamodule, ckpt_path=checkpoint_to_resume(cfg.ckpt_path, trainer))
    if trainer.is_global_zero and throughput.report:
        print_report(throughput.report)
    after_fit(trainer, model, datamodule, cfg.test, cfg.predict)


if __name__ == "__main__":
    with ended_by_ctrl_c(KEPT):
        main()
