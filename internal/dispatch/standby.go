package dispatch

import "slices"

// reserved is implemented by backends that may be kept for the time in which no other one of their model can be used.
type reserved interface{ Standby() bool }

// standby reports whether the backend is kept for that time.
func (l *lane) standby() bool {
	b, ok := l.backend.(reserved)
	return ok && b.Standby()
}

// rests reports whether a lane takes nothing of a model now, because it is a standby, and another lane, which is none, can be used or has
// not been tried yet.
func rests(l *lane, lanes []*lane) bool {
	return l.standby() && slices.ContainsFunc(lanes, func(m *lane) bool { return !m.standby() && !m.away() })
}

// away reports whether the backend cannot be used, and was found so.
func (l *lane) away() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed() || l.out != "" && !l.outSince.IsZero()
}

// wakeStandbys makes the standbys of the lane's models look for a record, because the lane was taken out of use.
func (l *lane) wakeStandbys() {
	for _, q := range l.served() {
		for _, m := range q.lanes() {
			if m != l && m.standby() {
				m.signal()
			}
		}
	}
}
