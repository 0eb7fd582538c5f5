package jsonl

import "math/bits"

const (
	idLength = 11
	idSpace  = 131621703842267136 // 36^11
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// MakeID returns the recordId for a line that has none: eleven upper-case letters and digits
// (Bedrock: a record without recordId gets one in the output). It is the same for the same job,
// file and line, and unique within a job:
//
//	id = (place × factor + offset) mod 36^11, place = file × 2^36 + line
//
// factor and offset are derived from the job's id. factor has no common divisor with 36^11, so
// different places give different ids, for lines below 2^36 and files below 2^20.
func MakeID(jobID string, file int, line int64) string {
	h := HashID([]byte(jobID))
	factor := h%(idSpace/36)*36 + 5 // 5 and 36 have no common divisor
	offset := HashID([]byte(jobID+"+")) % idSpace
	place := uint64(file)<<36 | uint64(line)&(1<<36-1)
	high, low := bits.Mul64(place%idSpace, factor)
	low, carry := bits.Add64(low, offset, 0)
	_, n := bits.Div64((high+carry)%idSpace, low, idSpace)
	var id [idLength]byte
	for i := idLength - 1; i >= 0; i-- {
		id[i] = alphabet[n%36]
		n /= 36
	}
	return string(id[:])
}
