"""One step of the latent flow's training, recorded once for each size class: draw, loss, gradients, clipping, AdamW, average."""

from pathlib import Path

import torch

from .networks import Average, optimiser
from .padded import Tables, velocity

WARM_UP_STEPS = 3


def flow_loss(flow, batch, coarse_slots):
    """Rectified-flow loss `[]` over the voxels that exist: t logit-normal(1, 1) an object, a tenth of the conditions dropped."""
    cell, exists, z, cond = batch
    items, device = len(cell), cell.device
    t = torch.sigmoid(torch.randn(items, device=device) + 1)
    noise = torch.randn_like(z)
    at = t[:, None, None]
    keep = (torch.rand(items, device=device) >= 0.1)[:, None, None]
    tables = Tables(cell, exists, coarse_slots)
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
        v = velocity(flow, (1 - at) * z + at * noise, tables, 1000 * t, cond * keep)
    error = (v.float() - (noise - z)).square().mean(-1)
    return (error * exists).sum() / exists.sum().clamp_min(1)


class FlowTrainer:
    """`step(class)` on random objects of a size class, about `rows` voxels a batch. On CUDA every class has a graph of its own."""

    def __init__(self, flow, classes, rows, graphs=True, decay=0.999):
        self.flow, self.classes = flow, classes
        device = next(flow.parameters()).device
        self.batches = [max(1, rows // c.slots) for c in classes]
        self.average = Average(flow, decay)
        self.rate = torch.zeros((), device=device)
        self.keep = torch.zeros((), device=device)
        self.opt = optimiser([flow], self.rate, capturable=device.type == "cuda")
        self.steps, self.samples = 0, 0
        self.graphs, self.losses = {}, {}
        self.recorded = graphs and device.type == "cuda"

    def _body(self, index):
        size = self.classes[index]
        self.opt.zero_grad(set_to_none=True)
        loss = flow_loss(self.flow, size.draw(self.batches[index]), size.coarse_slots)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.flow.parameters(), 1.0)
        self.opt.step()
        with torch.no_grad():
            copies, now = list(self.average.copy.parameters()), list(self.flow.parameters())
            torch._foreach_mul_(copies, self.keep)
            torch._foreach_add_(copies, torch._foreach_mul(now, 1 - self.keep))
        return loss.detach()

    def _record(self, index):
        """Warm up without a trace (rate 0, no averaging, moments restored), then capture."""
        before, rate = self.state(), self.rate.clone()
        self.rate.zero_()
        self.keep.fill_(1.0)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                self._body(index)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        pool = next(iter(self.graphs.values())).pool() if self.graphs else None
        with torch.cuda.graph(graph, pool=pool):
            self.losses[index] = self._body(index)
        self.graphs[index] = graph
        self.restore(before)
        self.rate.copy_(rate)

    def step(self, index):
        """Trains once on class `index`; returns its loss, a tensor that the next step overwrites."""
        if self.recorded and index not in self.graphs:
            self._record(index)
        self.steps += 1
        self.samples += self.batches[index]
        self.keep.fill_(min(self.average.decay, (1 + self.steps) / (10 + self.steps)))
        if not self.recorded:
            return self._body(index)
        self.graphs[index].replay()
        return self.losses[index]

    def state(self):
        """All that a later run needs to go on, copied."""
        moments = {}
        for i, p in enumerate(self.flow.parameters()):
            kept = self.opt.state.get(p, {})
            moments.update({f"{i}.{k}": v.detach().clone() for k, v in kept.items()})
        weights = {k: v.detach().clone() for k, v in self.flow.state_dict().items()}
        average = {k: v.detach().clone() for k, v in self.average.copy.state_dict().items()}
        return {"flow": weights, "average": average, "moments": moments, "steps": self.steps, "samples": self.samples}

    @torch.no_grad()
    def restore(self, state):
        """In place: recorded graphs keep their addresses. Moments that the state lacks become zero."""
        self.flow.load_state_dict(state["flow"])
        self.average.copy.load_state_dict(state["average"])
        for i, p in enumerate(self.flow.parameters()):
            kept = self.opt.state[p]
            for name in ("step", "exp_avg", "exp_avg_sq"):
                value = state["moments"].get(f"{i}.{name}")
                if name not in kept:
                    kept[name] = torch.zeros((), device=p.device) if name == "step" else torch.zeros_like(p)
                kept[name].zero_() if value is None else kept[name].copy_(value)
        self.steps, self.samples = state["steps"], state["samples"]

    def save(self, path):
        """Moments as bfloat16 (their rounding is far below their noise): the file stays small enough to be sent."""
        state = self.state()
        state["moments"] = {k: v.bfloat16() if v.ndim else v for k, v in state["moments"].items()}
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save({k: _to_cpu(v) for k, v in state.items()}, path)

    def load(self, path):
        self.restore(torch.load(path, map_location=self.rate.device, weights_only=True))


def _to_cpu(value):
    return {k: v.cpu() for k, v in value.items()} if isinstance(value, dict) else value
