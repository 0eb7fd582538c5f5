package object

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Standing remembers when a principal was last allowed something. The zero value is ready, and a
// nil Standing remembers nothing. It is safe for concurrent use.
type Standing struct {
	allowed atomic.Int64 // Unix time in nanoseconds; 0: never
}

// Allowed returns when the S3 last answered a request of the principal with something other than
// a denial. Zero: never.
func (s *Standing) Allowed() time.Time {
	if s == nil {
		return time.Time{}
	}
	if at := s.allowed.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// answered takes in the status of an answer. A server says that an object is missing, that it has
// another ETag or fewer bytes only after it has found the request allowed; other errors prove
// nothing.
func (s *Standing) answered(status int) {
	switch {
	case s == nil:
		return
	case status < http.StatusMultipleChoices:
	case status == http.StatusNotModified, status == http.StatusNotFound, status == http.StatusPreconditionFailed, status == http.StatusRequestedRangeNotSatisfiable:
	default:
		return
	}
	s.allowed.Store(time.Now().UnixNano())
}
