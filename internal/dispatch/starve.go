package dispatch

// Lanes of one model may differ in what they can do: one sees no images, another has a short context. The window may then be full of records that
// one lane cannot answer. For such a lane more is read, up to walkRecords of a job and the memory of its window, in the hope of records for it.

// provider returns a job that may claim a chunk for a lane that has too few of the ready records, or nil. A job with few ready records goes
// first: what the others have ready is not for that lane. The caller holds mu.
func (q *queue) provider(wide int) *feed {
	if !q.starves(wide) {
		return nil
	}
	may := func(f *feed) bool {
		return f.wanting && q.fits(f, false) && f.sendable() < q.part(f, wide, max(walkRecords, wide))
	}
	if f := q.shares.entitled(func(f *feed) bool { return may(f) && f.stock() < wide }); f != nil {
		return f
	}
	return q.shares.entitled(may)
}

// starves reports whether some lane can answer less than wide of the ready records. They are counted once every slots records, and when records
// come. The caller holds mu.
func (q *queue) starves(wide int) bool {
	if !differ(q.lanes(), q.set()) {
		return false
	}
	if q.served >= q.recount {
		q.scarce, q.recount = q.fewest(wide), q.served+q.slots()
	}
	n := q.scarce
	for _, f := range q.feeds {
		n += f.stock() - f.sendable()
	}
	return n < wide
}

// fewest is the number of ready records, up to most, that the lane can answer which can answer fewest of them. The caller holds mu.
func (q *queue) fewest(most int) int {
	least := most
	for _, l := range q.lanes() {
		if l.usable() && !rests(l, q.lanes()) {
			least = min(least, q.suiting(l, least))
		}
	}
	return least
}

// suiting counts the ready records that a lane can answer, up to most. The caller holds mu.
func (q *queue) suiting(l *lane, most int) (n int) {
	for _, f := range q.feeds {
		for _, items := range [...][]*item{f.ready.items, f.media.waiting} {
			for _, it := range items {
				if n >= most {
					return n
				}
				if q.suits(l, it) {
					n++
				}
			}
		}
	}
	return n
}
