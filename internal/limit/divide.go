package limit

import "github.com/batholith/batholith"

// One limit for all workers. Each worker has a share of it, from 0 to 1, and the shares of all workers add up to at most 1:
//
//	requests of a worker ≤ share × limit
//
// The fair shares are max-min: interactive calls get what they want, up to 9/10 of the limit; the rest is divided equally among those that
// want more than an equal part, and the others get what they want (see fairShares).
//
// A share moves from one worker to another through the table of loads, where each worker writes its row at most once a second. A worker
// that has more than its fair share gives a tenth of the limit, or what it does not use, in each step, if others lack it. A worker that has less
// takes its part of what nobody has. Since the giver writes before the taker takes, the sum stays below 1.
const (
	callsPart = 0.9 // of the limit that calls may have
	givesPart = 0.1 // of the limit that a worker gives at once although it uses it
)

// fairShares divides the limit among the rows. The sum of the shares is 1, or less if all together want less.
func fairShares(limit int, rows []batholith.Load) []float64 {
	calls, rest := make([]float64, len(rows)), make([]float64, len(rows))
	for i, r := range rows {
		calls[i] = float64(min(r.Calls, r.Wants))
		rest[i] = float64(r.Wants) - calls[i]
	}
	given := maxMin(callsPart*float64(limit), calls)
	left := float64(limit)
	for _, n := range given {
		left -= n
	}
	for i, n := range maxMin(left, rest) {
		given[i] = (given[i] + n) / float64(limit)
	}
	return given
}

// maxMin divides an amount: nobody gets more than he wants, and nobody who wants more gets less than another.
func maxMin(amount float64, wants []float64) []float64 {
	got := make([]float64, len(wants))
	for {
		open := 0
		for i := range wants {
			if got[i] < wants[i] {
				open++
			}
		}
		if open == 0 || amount <= 1e-9 {
			return got
		}
		part := amount / float64(open)
		for i := range wants {
			if more := min(part, wants[i]-got[i]); more > 0 {
				got[i] += more
				amount -= more
			}
		}
	}
}

// move is the next share of the worker at index me. used is the part of the limit that it uses.
func move(rows []batholith.Load, fair []float64, me int, used float64) float64 {
	free, lack, surplus := 1.0, 0.0, 0.0
	for i, r := range rows {
		free -= r.Share
		lack += max(fair[i]-r.Share, 0)
		surplus += max(r.Share-fair[i], 0)
	}
	mine := rows[me].Share
	switch over := mine - fair[me]; {
	case over > 0 && free < 0: // more was given away than there is
		return mine - min(over, max(-free, givesPart, mine-used))
	case over > 0 && lack > free:
		need := (lack - free) * over / surplus
		return mine - min(over, need, max(givesPart, mine-used))
	case over < 0 && free > 0:
		return mine + min(-over, free*-over/lack)
	case free < 0 && surplus == 0: // rows of a moment ago: all give way
		return mine / (1 - free)
	}
	return mine
}

// leads returns the index of the worker that searches the limit for all; -1 if there is none. It must want more than it has, and have at least
// half of its fair share. The one that leads already goes on; else it is the first by name.
func leads(rows []batholith.Load, fair []float64) int {
	lead := -1
	for i, r := range rows {
		if float64(r.Wants) <= r.Share*float64(r.Limit) || r.Share < fair[i]/2 {
			continue
		}
		if lead < 0 || r.Lead && !rows[lead].Lead || r.Lead == rows[lead].Lead && r.Worker < rows[lead].Worker {
			lead = i
		}
	}
	return lead
}

// widest returns the index of the worker with the largest share; -1 if there is none.
func widest(rows []batholith.Load) int {
	at := -1
	for i, r := range rows {
		if at < 0 || r.Share > rows[at].Share {
			at = i
		}
	}
	return at
}
