"""Carries out the lines of a card, so that tests can compare them with the neuron."""

import re

import numpy as np


class Interpreter:
    """Carries out lines `words: name <- formula`, with `[a > b]`, products side by side."""

    FUNCTIONS = {  # noqa: RUF012
        "max": np.maximum,
        "min": np.minimum,
        "floor": np.floor,
        "ceil": np.ceil,
        "exp": np.exp,
        "log": np.log,
        "winner": lambda u: (np.arange(len(u)) == np.argmax(u)).astype(float),
    }
    TOKEN = re.compile(r"\s*(<-|>=|\d+\.?\d*(?:e[+-]?\d+)?|\w+|.)")

    def __init__(self, fields, state):
        self.fields, self.state = fields, state

    def step(self, lines, x):
        self.names = {**self.fields, **self.state, "x": x}
        for line in lines:
            statement = line.partition(": ")[2]
            name, _, formula = statement.partition(" <- ")
            formula, _, where = formula.partition(" where ")
            value = self.value(formula)
            if where:
                value = np.where(self.value(f"[{where}]") > 0, value, self.names[name])
            self.names[name] = value
        self.state = {name: self.names[name] for name in self.state}
        return self.names["y"]

    def value(self, text):
        self.tokens = [*self.TOKEN.findall(text.strip()), ""]
        value = self.sum()
        assert self.tokens == [""], (text, self.tokens)
        return value

    def take(self):
        return self.tokens.pop(0)

    def sum(self):
        sign = -1.0 if self.tokens[0] == "-" and self.take() else 1.0
        total = sign * self.product()
        while self.tokens[0] in ("+", "-"):
            sign = 1.0 if self.take() == "+" else -1.0
            total = total + sign * self.product()
        return total

    def product(self):
        value = self.factor()
        while True:
            if self.tokens[0] == "/":
                self.take()
                value = value / self.factor()
            elif self.tokens[0] in ("(", "[") or re.match(r"\w", self.tokens[0]):
                value = value * self.factor()
            else:
                return value

    def factor(self):
        token = self.take()
        if token == "(":
            value = self.sum()
            assert self.take() == ")"
            return value
        if token == "[":
            left, sign, right = self.sum(), self.take(), self.sum()
            assert self.take() == "]"
            return (left >= right if sign == ">=" else left > right).astype(float)
        if token in self.FUNCTIONS:
            assert self.take() == "("
            values = [self.sum()]
            while self.take() == ",":
                values.append(self.sum())
            return self.FUNCTIONS[token](*values)
        return np.float64(token) if token[0].isdigit() else self.names[token]
