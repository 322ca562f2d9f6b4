package tape

import (
	"bytes"
	"cmp"
	"math/big"
	"strconv"
)

// Decimal is a JSON number as it is written, never a float64: 0.Digits × 10^exponent. Digits have no zeros at either
// end, so one number has one decimal; zero has no digits, no sign and no exponent.
type Decimal struct {
	Digits   []byte
	Exponent int64
	Negative bool
}

// maxExponent bounds exponents, so that sums of them do not overflow. Beyond it numbers are not told apart.
const maxExponent = 1 << 60

// Number reads a literal whose syntax is known to be right. Digits alias it where it has no point.
func Number(literal []byte) Decimal {
	var d Decimal
	if literal[0] == '-' {
		d.Negative, literal = true, literal[1:]
	}
	if i := bytes.IndexAny(literal, "eE"); i >= 0 {
		d.Exponent = Exponent(literal[i+1:])
		literal = literal[:i]
	}
	whole, part, _ := bytes.Cut(literal, []byte{'.'})
	d.Digits = whole
	d.Exponent += int64(len(whole))
	if len(part) > 0 {
		d.Digits = append(whole[:len(whole):len(whole)], part...)
	}
	trimmed := bytes.TrimLeft(d.Digits, "0")
	d.Exponent -= int64(len(d.Digits) - len(trimmed))
	d.Digits = bytes.TrimRight(trimmed, "0")
	if len(d.Digits) == 0 {
		return Decimal{}
	}
	return d
}

// Exponent reads the digits behind an e, within bounds.
func Exponent(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	switch {
	case err != nil && text[0] == '-':
		return -maxExponent
	case err != nil:
		return maxExponent
	}
	return min(max(n, -maxExponent), maxExponent)
}

// Integer tells whether it has no fraction, however it is written: 1.0 and 1e2 are integers.
func (d Decimal) Integer() bool { return d.Exponent >= int64(len(d.Digits)) }

// Compare is negative, zero or positive.
func (d Decimal) Compare(o Decimal) int {
	switch {
	case d.Negative != o.Negative || len(d.Digits) == 0 || len(o.Digits) == 0:
		return cmp.Compare(d.Sign(), o.Sign())
	}
	c := cmp.Compare(d.Exponent, o.Exponent)
	if c == 0 {
		c = bytes.Compare(d.Digits, o.Digits)
	}
	if d.Negative {
		return -c
	}
	return c
}

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int {
	switch {
	case d.Negative:
		return -1
	case len(d.Digits) == 0:
		return 0
	}
	return 1
}

// Multiple tells whether d is an integer times of, which is above zero. It takes time for the digits that are
// written, not for those an exponent stands for.
func (d Decimal) Multiple(of Decimal) bool {
	if len(d.Digits) == 0 {
		return true
	}
	// Both are integers times a power of ten: d = n·10^a, of = m·10^b, and n has no factor of ten.
	up := d.Exponent - int64(len(d.Digits)) - of.Exponent + int64(len(of.Digits))
	if up < 0 {
		return false
	}
	m, _ := new(big.Int).SetString(string(of.Digits), 10)
	rest := residue(d.Digits, m)
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(up), m)
	return rest.Mul(rest, power).Mod(rest, m).Sign() == 0
}

// residue is the number with these digits modulo m, in time that grows with the number of digits and not its square.
func residue(digits []byte, m *big.Int) *big.Int {
	const step = 18
	rest, part, shift := new(big.Int), new(big.Int), new(big.Int)
	for len(digits) > 0 {
		n := min(step, len(digits))
		value, err := strconv.ParseInt(string(digits[:n]), 10, 64)
		if err != nil {
			return big.NewInt(1) // not reached: the tape has digits only
		}
		shift.Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
		rest.Mul(rest, shift).Add(rest, part.SetInt64(value)).Mod(rest, m)
		digits = digits[n:]
	}
	return rest
}

// AppendCanonical writes it so that equal numbers, and only those, are written alike.
func (d Decimal) AppendCanonical(to []byte) []byte {
	if d.Negative {
		to = append(to, '-')
	}
	to = append(append(to, '.'), d.Digits...)
	return strconv.AppendInt(append(to, 'e'), d.Exponent, 10)
}
