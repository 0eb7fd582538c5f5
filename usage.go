package batholith

import "time"

// Usage is what the interactive calls of a principal took on one day, as one process counted it.
type Usage struct {
	Account, Principal string
	Day                int64  // see DayOf
	Process            string // that counted it, from its start to its end
	Calls              int64  // that were answered, also in part
	Tokens             Tokens
}

// DayOf returns the day of a time: whole days since 1970-01-01 UTC.
func DayOf(t time.Time) int64 { return t.Unix() / int64(24*time.Hour/time.Second) }
