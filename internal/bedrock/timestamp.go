package bedrock

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Timestamp is a moment on the wire. The zero Timestamp stands for an absent one.
type Timestamp struct{ time.Time }

// wireTime is what every SDK reads (Bedrock: ISO 8601).
const wireTime = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes milliseconds of UTC: "2026-01-02T03:04:05.123Z".
func (t Timestamp) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"`+wireTime+`"`), nil
}

// UnmarshalJSON reads what a client may send: see [parseTimestamp].
func (t *Timestamp) UnmarshalJSON(b []byte) error {
	var v any
	if err := json.Unmarshal(b, &v); err != nil || v == nil {
		return err
	}
	u, ok := parseTimestamp(v)
	if !ok {
		return &time.ParseError{Value: string(b), Layout: wireTime, Message: ": not a timestamp"}
	}
	*t = u
	return nil
}

// parseTimestamp reads ISO 8601 with no to nine digits of a fraction and an offset or Z, or
// seconds since 1970. In a query the latter is a string too, and a plus sign that a client did
// not escape has become a space.
func parseTimestamp(v any) (Timestamp, bool) {
	switch v := v.(type) {
	case float64:
		return fromEpoch(v)
	case string:
		if t, err := time.Parse(time.RFC3339Nano, strings.Replace(v, " ", "+", 1)); err == nil {
			return within(t)
		}
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return fromEpoch(f)
		}
	}
	return Timestamp{}, false
}

func fromEpoch(seconds float64) (Timestamp, bool) {
	if math.IsNaN(seconds) || math.Abs(seconds) > 1e12 {
		return Timestamp{}, false
	}
	whole, fraction := math.Modf(seconds)
	return within(time.Unix(int64(whole), int64(math.Round(fraction*1e3))*1e6))
}

// within refuses years that no stored time can be compared with, and the one moment that stands
// for no time.
func within(t time.Time) (Timestamp, bool) {
	t = t.UTC()
	return Timestamp{t}, t.Year() >= 1 && t.Year() <= 9999 && !t.IsZero()
}
