"""The roundings of `bw.requantize`, as lines of one element; `rescale` has those of vectors."""


def tflite_scaled(value: str, multiplier: str, shift: str, to: str) -> str:
    """Lines that make %`to` by LiteRT's arithmetic (`ir.fixed_point.scale`); all are i64."""
    n = f"%{to}_"
    return f"""
        {n}1 = arith.constant 1 : i64
        {n}31 = arith.constant 31 : i64
        {n}0 = arith.constant 0 : i64
        {n}63 = arith.constant 63 : i64
        {n}up = arith.subi {n}31, %{shift} : i64
        {n}left = arith.maxsi {n}up, {n}0 : i64
        {n}down = arith.subi %{shift}, {n}31 : i64
        {n}right = arith.maxsi {n}down, {n}0 : i64
        {n}wide = arith.shli %{value}, {n}left : i64
        {n}word = arith.trunci {n}wide : i64 to i32
        {n}a = arith.extsi {n}word : i32 to i64
        {n}p = arith.muli {n}a, %{multiplier} : i64
        {n}nudge = arith.constant {1 << 30} : i64
        {n}q = arith.addi {n}p, {n}nudge : i64
        {n}h = arith.shrsi {n}q, {n}31 : i64
        {n}power = arith.shli {n}1, {n}right : i64
        {n}half = arith.shrui {n}power, {n}1 : i64
        {n}sign = arith.shrsi {n}h, {n}63 : i64
        {n}divides = arith.cmpi sgt, {n}right, {n}0 : i64
        {n}away = arith.select {n}divides, {n}sign, {n}0 : i64
        {n}v0 = arith.addi {n}h, {n}half : i64
        {n}v1 = arith.addi {n}v0, {n}away : i64
        %{to} = arith.shrsi {n}v1, {n}right : i64
    """


ROUNDED = {
    "half_up": """
        %before = arith.subi %s, %one : i64
        %half = arith.shli %one, %before : i64
        %p = arith.muli %a, %m : i64
        %q = arith.addi %p, %half : i64
        %t = arith.shrsi %q, %s : i64
    """,
    "half_away": """
        %before = arith.subi %s, %one : i64
        %half = arith.shli %one, %before : i64
        %p = arith.muli %a, %m : i64
        %bits = arith.constant 63 : i64
        %away = arith.shrsi %p, %bits : i64
        %p0 = arith.addi %p, %half : i64
        %q = arith.addi %p0, %away : i64
        %t = arith.shrsi %q, %s : i64
    """,
    "half_even": """
        %before = arith.subi %s, %one : i64
        %half = arith.shli %one, %before : i64
        %below = arith.subi %half, %one : i64
        %p = arith.muli %a, %m : i64
        %floor = arith.shrsi %p, %s : i64
        %odd = arith.andi %floor, %one : i64
        %p0 = arith.addi %p, %below : i64
        %q = arith.addi %p0, %odd : i64
        %t = arith.shrsi %q, %s : i64
    """,
    "tflite": tflite_scaled("a", "m", "s", "t"),
}
"""Lines that make %t of the accumulator %a, the multiplier %m and the shift %s, all i64."""
