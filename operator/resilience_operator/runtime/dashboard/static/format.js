// Values in the words that the operator uses: 83.4%, 1.4s, 250ms.

function digits(value) {
  return String(Number(value.toPrecision(3)));
}

export function value(number, unit) {
  if (number === null || number === undefined) return "unknown";
  if (unit === "ratio") return `${digits(number * 100)}%`;
  if (unit === "seconds") return Math.abs(number) < 1 && number !== 0 ? `${digits(number * 1000)}ms` : `${digits(number)}s`;
  return Math.abs(number) >= 1e6 ? number.toExponential(2) : digits(number);
}
