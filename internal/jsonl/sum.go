package jsonl

// The CRC of a whole file is computed from the CRCs of its parts without reading the bytes
// again. A CRC is a polynomial over GF(2) modulo a fixed polynomial. Appending n bytes
// multiplies it by x^8n. Polynomials are stored as the CRC is: the highest bit is x^0.

// joinSums returns the CRC-32C of bytes with CRC a followed by n bytes with CRC b: a × x^8n +
// b.
func joinSums(a, b uint32, n int64) uint32 { return timesPower(a, n) ^ b }

// polynomial is Castagnoli's polynomial without its x^32.
const polynomial = 0x82f63b78

// timesPower returns a × x^8n, by repeated squaring.
func timesPower(a uint32, n int64) uint32 {
	square := uint32(1) << 23 // x^8
	for ; n > 0; n >>= 1 {
		if n&1 != 0 {
			a = times(a, square)
		}
		square = times(square, square)
	}
	return a
}

// times returns a × b modulo the polynomial.
func times(a, b uint32) uint32 {
	product := uint32(0)
	for ; a != 0; a <<= 1 {
		if a&(1<<31) != 0 {
			product ^= b
		}
		carry := b & 1
		b = b>>1 ^ carry*polynomial
	}
	return product
}
