package jsonl

// Sums of parts become the sum of the whole without the bytes being read again: a CRC is a polynomial over GF(2), modulo a fixed one, and
// bytes behind it multiply it by a power of x. Polynomials are written as the CRC itself is, the highest bit being x^0.

// joinSums is the CRC-32C of bytes with the sum a, followed by n bytes with the sum b.
func joinSums(a, b uint32, n int64) uint32 { return timesPower(a, n) ^ b }

// polynomial is Castagnoli's, without its x^32.
const polynomial = 0x82f63b78

// timesPower multiplies a by x^8n.
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

// times multiplies two polynomials.
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
