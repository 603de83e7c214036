"""Outputs of a .tflite: which of them are the scores, and what writes those."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from edgetl_export.load.output_activation import Activation
from edgetl_runtime.errors import ExportError

# Of several outputs, that which ends in the first of these is the scores.
_PREFERRED: tuple[Activation, ...] = ("softmax", "log_softmax", "sigmoid", "linear")


class Writers:
    """Which operator of a graph writes what."""

    def __init__(self, tree: Any, graph: Any) -> None:
        """Takes a tree of LiteRT's schema whose references were checked."""
        from ai_edge_litert.schema_py_generated import BuiltinOperator

        self._kinds, self._tree, self._graph = BuiltinOperator, tree, graph
        self._writers = {int(one): op for op in graph.operators for one in _list(op.outputs)}

    def choose_scores(self) -> str:
        """Leaves one output, the scores, and the operators that they need.

        The best labels and sorted scores become the scores that they are made of; of a softmax
        and its logits, the softmax stays.

        Returns:
            What was left out, for people; empty: nothing.

        Raises:
            ExportError: If several outputs could be the scores.
        """
        graph = self._graph
        outputs = _list(graph.outputs)
        candidates = list(dict.fromkeys(self._find_source(one) for one in outputs))
        kept = candidates[0] if len(candidates) == 1 else self._prefer(candidates)
        if kept is None:
            names = ", ".join(_name(graph.tensors[one]) for one in outputs)
            raise ExportError(
                f"the .tflite has {len(outputs)} outputs ({names}), expected 1; convert the "
                "classifier only"
            )
        graph.outputs = np.array([kept], np.int32)
        self._drop_unused(kept)
        for signature in self._tree.signatureDefs or []:
            same = [one for one in signature.outputs or [] if one.tensorIndex == kept]
            signature.outputs = same or (signature.outputs or [])[:1]
        if len(candidates) == 1:
            return ""
        left = ", ".join(_name(graph.tensors[one]) for one in candidates if one != kept)
        return f"its output {_name(graph.tensors[kept])} is used as the scores, {left} left out"

    def find_activation(self, tensor: int | None = None) -> Activation:
        """The type of operator that writes the scores, ignoring those that only pass them on.

        Args:
            tensor: Of which tensor; by default the first output.
        """
        kinds = self._kinds
        carries = {kinds.RESHAPE, kinds.SQUEEZE, kinds.EXPAND_DIMS, kinds.CAST, kinds.TRANSPOSE}
        carries |= {kinds.DEQUANTIZE, kinds.QUANTIZE}
        activations: dict[int, Activation] = {
            kinds.SOFTMAX: "softmax",
            kinds.LOG_SOFTMAX: "log_softmax",
            kinds.LOGISTIC: "sigmoid",
            kinds.FULLY_CONNECTED: "linear",
            kinds.CONV_2D: "linear",
            kinds.BATCH_MATMUL: "linear",
        }
        now = int(self._graph.outputs[0]) if tensor is None else tensor
        for _ in self._graph.operators:
            writer = self._writers.get(now)
            if writer is None:
                break
            kind = self._kind(writer)
            # An activation inside the operator, such as a ReLU, is no end of a classifier.
            plain = not getattr(writer.builtinOptions, "fusedActivationFunction", 0)
            computed = [one for one in _list(writer.inputs) if one in self._writers]
            biased = kind == kinds.ADD and plain and len(computed) == 1
            if kind not in carries and not biased:
                return activations.get(kind, "other") if plain else "other"
            now = computed[0] if computed else int(writer.inputs[0])
        return "other"

    def _kind(self, operator: Any) -> int:
        code = self._tree.operatorCodes[operator.opcodeIndex]
        # Old files have their codes in the narrower field.
        return int(max(code.builtinCode, code.deprecatedBuiltinCode))

    def _find_source(self, tensor: int) -> int:
        """The scores that best labels or sorted scores are made of; else the tensor itself."""
        kinds = self._kinds
        now = tensor
        while (writer := self._writers.get(now)) is not None:
            kind = self._kind(writer)
            if kind in (kinds.ARG_MAX, kinds.TOPK_V2):
                return int(writer.inputs[0])
            if kind not in (kinds.CAST, kinds.RESHAPE, kinds.SQUEEZE):
                break
            now = int(writer.inputs[0])
        return tensor

    def _prefer(self, candidates: Sequence[int]) -> int | None:
        found = {one: self.find_activation(one) for one in candidates}
        for activation in _PREFERRED:
            alike = [one for one in candidates if found[one] == activation]
            if alike:
                return alike[0] if len(alike) == 1 else None
        return None

    def _drop_unused(self, kept: int) -> None:
        """Operators whose results are not used; one without results may be there for a variable."""
        needed, operators = {kept}, list[Any]()
        for one in reversed(self._graph.operators):
            outputs = _list(one.outputs)
            if not outputs or needed & set(outputs):
                operators.insert(0, one)
                needed |= set(_list(one.inputs))
        self._graph.operators = operators


def _list(numbers: Any) -> list[int]:
    return [] if numbers is None else [int(n) for n in numbers]


def _name(tensor: Any) -> str:
    return (tensor.name or b"?").decode(errors="replace")
