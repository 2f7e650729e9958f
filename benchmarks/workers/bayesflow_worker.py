"""BayesFlow 2.0.12 on JAX, default networks: coupling flow, flow matching, consistency model.

`BasicWorkflow.fit_offline` with its defaults, 100 epochs of batches of 32. Data and conditions are
standardised too, which the library leaves to the user, as counts would otherwise hurt it.
"""

import os
import warnings

import numpy as np
from job import STAGES, Contender, run

NETWORKS = {"NPE": "coupling_flow", "FMPE": "flow_matching", "CMPE": "consistency_model"}
EPOCHS, BATCH = 100, 32  # the defaults of fit_offline, which a consistency model has to be told


class BayesFlow(Contender):
    """`bf.BasicWorkflow(inference_network=...)`."""

    packages = ("bayesflow", "keras", "jax")

    def __init__(self) -> None:
        os.environ["KERAS_BACKEND"] = "jax"
        import bayesflow
        import jax
        import keras

        self.bf, self.keras = bayesflow, keras
        self.compiled = 0.0
        jax.monitoring.register_event_duration_secs_listener(self.listen)

    def listen(self, event: str, seconds: float, **_: object) -> None:
        """Add up the seconds of tracing, lowering and compiling."""
        if event in STAGES:
            self.compiled += seconds

    def train(self, job: dict, theta: np.ndarray, x: np.ndarray) -> None:
        """Fit."""
        self.kind = job["method"]
        if self.kind not in NETWORKS:
            raise SystemExit(f"BayesFlow does not offer {self.kind}")
        self.keras.utils.set_random_seed(job["seed"])
        network = NETWORKS[self.kind]
        if self.kind == "CMPE":  # has no default for its total_steps
            steps = EPOCHS * -(-len(theta) // BATCH)
            network = self.bf.networks.ConsistencyModel(total_steps=steps)
        self.workflow = self.bf.BasicWorkflow(
            inference_network=network,
            inference_variables=["theta"],
            inference_conditions=["x"],
            standardize="all",
        )
        before = self.compiled
        data = {"theta": theta.astype(np.float32), "x": x.astype(np.float32)}
        self.workflow.fit_offline(data, verbose=0)
        self.compile_seconds = self.compiled - before

    def draw(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Draws."""
        return self.draw_many(x[None], n, seed)[0]

    def draw_many(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """All observations in one call."""
        conditions = {"x": x.astype(np.float32)}
        return self.workflow.sample(num_samples=n, conditions=conditions, seed=seed)["theta"]

    def log_prob(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray | None:
        """Densities of flows."""
        if self.kind == "CMPE":
            return None
        data = {"theta": theta.astype(np.float32), "x": x.astype(np.float32)}
        return self.workflow.log_prob(data)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(BayesFlow)
