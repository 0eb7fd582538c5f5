package lifecycle

import "slices"

// AllWaits are all kinds of wait.
var AllWaits = []Wait{InLine, ToHear, ToValidate, ToRead, ToStore, ToPublish, ToEnd}

// Short is the kind in one word, for a metric.
func (w Wait) Short() string {
	return [...]string{"turn", "buckets", "validation", "read", "store", "publication", "end"}[slices.Index(AllWaits, w)]
}

// Waiting returns how many jobs of this worker are in each kind of wait, for metrics. A job may be in several.
func (l *Lifecycle) Waiting() map[Wait]int {
	l.mu.Lock()
	drives := make([]*drive, 0, len(l.drives))
	for _, d := range l.drives {
		drives = append(drives, d)
	}
	l.mu.Unlock()
	all := make(map[Wait]int, len(AllWaits))
	for _, d := range drives {
		d.waits.mu.Lock()
		for what := range d.waits.open {
			all[what]++
		}
		d.waits.mu.Unlock()
	}
	return all
}
