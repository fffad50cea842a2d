"""The MLP's forward and backward pass over buffers that are made once.

Autograd gives the same numbers; it also gives every activation new memory at each step, which on a CPU costs as much as
everything around the matrix products.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DenseChain:
    """Linear layers with ReLU and dropout between them, and one output.

    :param layers: of an MLP made by ``models.factor.mlp``.
    :param batch_size: rows at most.
    :param kind: of the matrix products.
    """

    def __init__(self, layers: nn.Sequential, batch_size: int, kind: torch.dtype) -> None:
        self._linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self._dropout = next((layer.p for layer in layers if isinstance(layer, nn.Dropout)), 0.0)
        self._kind = kind
        for layer in self._linear:
            for parameter in (layer.weight, layer.bias):
                parameter.grad = torch.zeros_like(parameter)
        hidden = [layer.out_features for layer in self._linear[:-1]]
        inputs = self._linear[0].in_features
        self._inputs = torch.empty(batch_size, inputs, dtype=kind)
        self._outputs = [torch.empty(batch_size, width, dtype=kind) for width in hidden]
        self._gradients = [torch.empty(batch_size, width, dtype=kind) for width in (inputs, *hidden)]
        self._masks = [torch.empty(batch_size, width, dtype=kind) for width in hidden] if self._dropout else []
        self._exact = self._gradients[0] if kind == torch.float32 else torch.empty(batch_size, inputs)
        self._weights = [layer.weight.detach().to(kind) for layer in self._linear[:-1]]

    def forward(self, inputs: Tensor) -> Tensor:
        """The last layer's output [rows] of float32 [rows, inputs]."""
        rows = len(inputs)
        if self._kind == torch.float32:
            self._inputs = inputs
        else:
            self._inputs[:rows].copy_(inputs)
        current = self._inputs[:rows]
        for index, layer in enumerate(self._linear[:-1]):
            output = self._outputs[index][:rows]
            if self._kind != torch.float32:
                self._weights[index].copy_(layer.weight.detach())
            torch.addmm(layer.bias.detach().to(self._kind), current, self._weights[index].t(), out=output)
            output.relu_()
            if self._dropout:
                mask = self._masks[index][:rows].bernoulli_(1 - self._dropout).div_(1 - self._dropout)
                output.mul_(mask)
            current = output
        last = self._linear[-1]
        return torch.addmv(last.bias.detach(), current.float(), last.weight.detach()[0])

    def backward(self, slopes: Tensor) -> Tensor:
        """Fill the parameters' gradients from those of the output [rows]; those of the inputs, float32."""
        rows = len(slopes)
        last = self._linear[-1]
        hidden = self._outputs[-1][:rows].float()
        assert last.weight.grad is not None
        assert last.bias.grad is not None
        torch.mv(hidden.t(), slopes, out=last.weight.grad[0])
        torch.sum(slopes, 0, keepdim=True, out=last.bias.grad)
        gradient = self._gradients[-1][:rows]
        torch.mul(slopes.unsqueeze(1), last.weight.detach(), out=gradient)
        for index in range(len(self._outputs) - 1, -1, -1):
            layer = self._linear[index]
            assert layer.weight.grad is not None
            assert layer.bias.grad is not None
            # A dropped output is 0, as one that ReLU held back: its gradient ends here in both cases.
            torch.ops.aten.threshold_backward.grad_input(gradient, self._outputs[index][:rows], 0, grad_input=gradient)
            if self._dropout:
                gradient.mul_(self._masks[index][:rows])
            inputs = self._outputs[index - 1][:rows] if index else self._inputs[:rows]
            if self._kind == torch.float32:
                torch.mm(gradient.t(), inputs, out=layer.weight.grad)
            else:
                layer.weight.grad.copy_(torch.mm(gradient.t(), inputs))
            torch.sum(gradient, 0, dtype=torch.float32, out=layer.bias.grad)
            below = self._gradients[index][:rows]
            torch.mm(gradient, self._weights[index], out=below)
            gradient = below
        if self._kind == torch.float32:
            return gradient
        return self._exact[:rows].copy_(gradient)
