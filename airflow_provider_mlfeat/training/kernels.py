"""The compiled part of a CPU step: look up rows, and add up and apply their gradients without ever sorting them.

What they compute is defined by models/factor.py and table_optimiser.py, which tests compare them with. Each kernel
works on a range of rows or of fields, so that threads share a batch; ranges never meet in the same row of the table,
and sums run in the order of the batch: the number of threads changes nothing in the result.
"""

from __future__ import annotations

import math

import numpy as np

from airflow_provider_mlfeat.engine.kernels.compilation import kernel

FLOATS, MATRIX, IDS, ROWS, SLOTS = "float32[::1]", "float32[:,::1]", "int32[:,::1]", "int64[::1]", "int32[::1]"


@kernel(
    f"void({MATRIX}, {IDS}, {ROWS}, {ROWS}, {MATRIX}, boolean, boolean, {MATRIX}, {MATRIX}, {FLOATS}, int64, int64)"
)
def look_up(table, ids, offsets, widths, factors, first_order, pairs, vectors, totals, logits, start, stop):  # type: ignore[no-untyped-def]
    """For rows `start` to `stop` of a batch: vectors side by side, their totals, the logit without the MLP's part.

    :param table: [rows, size + 1].
    :param ids: [batch, id fields].
    :param offsets: of the id fields in the table, then the rows of the value fields.
    :param widths: how many numbers of its vectors each field uses.
    :param factors: [batch, value fields].
    """
    size = table.shape[1] - 1
    id_fields, value_fields = ids.shape[1], factors.shape[1]
    squares = np.empty(size, np.float32)
    for example in range(start, stop):
        total, weight = totals[example], np.float32(0)
        for number in range(size):
            total[number] = 0.0
            squares[number] = 0.0
        for field in range(id_fields + value_fields):
            vector = vectors[example, field * size : (field + 1) * size]
            if field < id_fields:
                row = table[offsets[field] + ids[example, field]]
                weight += row[size]
                for number in range(size):
                    vector[number] = row[number]
            else:
                row, factor = table[offsets[field]], factors[example, field - id_fields]
                weight += row[size] * factor
                for number in range(size):
                    vector[number] = row[number] * factor
            for number in range(widths[field], size):
                vector[number] = 0.0
            if pairs:
                for number in range(size):
                    total[number] += vector[number]
                for number in range(size):
                    squares[number] += vector[number] * vector[number]
        logit = np.float32(0)
        if first_order:
            logit += weight
        if pairs:
            products = np.float32(0)
            for number in range(size):
                products += total[number] * total[number] - squares[number]
            logit += np.float32(0.5) * products
        logits[example] = logit


@kernel(
    f"int64({IDS}, {ROWS}, {ROWS}, {MATRIX}, boolean, boolean, {MATRIX}, {MATRIX}, {MATRIX}, {FLOATS},"
    f" {SLOTS}, {ROWS}, {MATRIX}, int64, int64, int64)"
)
def add_up(  # type: ignore[no-untyped-def]
    ids, offsets, widths, factors, first_order, pairs, vectors, totals, vector_gradients, logit_gradients,
    slots, touched, sums, start, first_field, last_field,
):  # fmt: skip
    """Sum the gradients of each row that fields `first_field` to `last_field` touch; how many rows there are.

    :param vector_gradients: of the MLP's input, [batch, fields × size]; of no width without MLP.
    :param slots: one number per row of the table, all −1; entries of touched rows say where in `sums` theirs is.
    :param touched: gets the rows, from `start` on.
    :param sums: [look-ups, size + 1]; gets the sums, from `start` on.
    """
    size = sums.shape[1] - 1
    id_fields = ids.shape[1]
    deep = vector_gradients.shape[1] > 0
    count = start
    for example in range(ids.shape[0]):
        slope, total = logit_gradients[example], totals[example]
        for field in range(first_field, last_field):
            row, scale = offsets[field], np.float32(1)
            if field < id_fields:
                row += ids[example, field]
            else:
                scale = factors[example, field - id_fields]
            slot = slots[row]
            if slot < 0:
                slot = count
                count += 1
                slots[row] = slot
                touched[slot] = row
                sums[slot, :] = 0.0
            sum_of_row = sums[slot]
            low, high = field * size, field * size + widths[field]
            if deep:
                gradient = vector_gradients[example, low:high]
                for number in range(len(gradient)):
                    sum_of_row[number] += gradient[number] * scale
            if pairs:
                vector, steepness = vectors[example, low:high], slope * scale
                for number in range(len(vector)):
                    sum_of_row[number] += steepness * (total[number] - vector[number])
            if first_order:
                sum_of_row[size] += slope * scale
    return count - start


@kernel(f"float64({MATRIX}, int64, int64)")
def squared_length(sums, start, count):  # type: ignore[no-untyped-def]
    """Of all gradients that were added up, as one vector."""
    total = 0.0
    for slot in range(start, start + count):
        for number in range(sums.shape[1]):
            total += float(sums[slot, number]) * float(sums[slot, number])
    return total


@kernel(
    f"void({MATRIX}, {MATRIX}, {MATRIX}, {SLOTS}, {ROWS}, {MATRIX}, int64, int64,"
    " float32, float32, float32, float32, float32, float32)"
)
def lazy_adam(  # type: ignore[no-untyped-def]
    table, first, second, slots, touched, sums, start, count, rate, gain_first, gain_second, epsilon, l2, clip
):
    """Move the touched rows and forget their slots; `rate` has Adam's corrections in it, gains are what moments take."""
    for slot in range(start, start + count):
        row = touched[slot]
        slots[row] = -1
        current, moment, square, summed = table[row], first[row], second[row], sums[slot]
        for number in range(table.shape[1]):
            gradient = summed[number] * clip + l2 * current[number]
            moment[number] += gain_first * (gradient - moment[number])
            square[number] += gain_second * (gradient * gradient - square[number])
            current[number] -= rate * moment[number] / (math.sqrt(square[number]) + epsilon)


@kernel(f"void({MATRIX}, {FLOATS}, {SLOTS}, {ROWS}, {MATRIX}, int64, int64, float32, float32, float32, float32)")
def rowwise_adagrad(table, squares, slots, touched, sums, start, count, rate, epsilon, l2, clip):  # type: ignore[no-untyped-def]
    """Move the touched rows and forget their slots."""
    width = table.shape[1]
    for slot in range(start, start + count):
        row = touched[slot]
        slots[row] = -1
        current, summed, total = table[row], sums[slot], np.float32(0)
        for number in range(width):
            summed[number] = summed[number] * clip + l2 * current[number]
            total += summed[number] * summed[number]
        squares[row] += total / np.float32(width)
        pace = rate / (math.sqrt(squares[row]) + epsilon)
        for number in range(width):
            current[number] -= pace * summed[number]
