package console

import "time"

// SetObjectTime shortens the time that requests to the S3 have, until restore is called.
func SetObjectTime(d time.Duration) (restore func()) {
	was := objectTime
	objectTime = d
	return func() { objectTime = was }
}
