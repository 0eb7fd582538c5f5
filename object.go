package batholith

import "time"

// Object is what a listing or a HEAD tells of an object in a bucket.
type Object struct {
	Key      string
	Bytes    int64
	ETag     string // opaque, without quotes; changes whenever the content does
	Modified time.Time
}
