package limit

import (
	"maps"
	"slices"

	"github.com/batholith/batholith"
)

// One limit for all workers. Each worker has a share of it, from 0 to 1, and the shares of all workers add up to at most 1:
//
//	requests of a worker ≤ share × limit
//
// The fair shares follow from what each worker wants to send, and for whom (see fairShares).
//
// A share moves from one worker to another through the table of loads, where each worker writes its row at most once a second. A worker
// that has more than its fair share gives a tenth of the limit, or what it does not use, in each step, if others lack it. A worker that has less
// takes its part of what nobody has. Since the giver writes before the taker takes, the sum stays below 1.
const (
	goFirst   = 0.9 // of the limit that calls may have, and of the rest that requests of no group may have
	givesPart = 0.1 // of the limit that a worker gives at once although it uses it
)

// fairShares divides the limit among the workers. The sum of the shares is 1, or less if all together want less. In this order:
//
//	interactive calls     up to 9/10 of the limit
//	requests of no group  up to 9/10 of the rest
//	groups                the rest in equal parts, each by weight among its purses, each purse in equal parts among the workers that have it
//
// Nobody gets more than he wants; what he does not want goes to the others (max-min). So it does not matter to a principal which workers
// have his requests.
func fairShares(limit int, rows []batholith.Load) []float64 {
	return sharesOf(limit, divide(limit, rows))
}

// sharesOf returns the parts as shares of the limit.
func sharesOf(limit int, parts []part) []float64 {
	shares := make([]float64, len(parts))
	for i, p := range parts {
		shares[i] = p.calls / float64(limit)
		for _, n := range p.purses {
			shares[i] += n / float64(limit)
		}
	}
	return shares
}

// part is what a worker gets, in requests: for calls, and for each of its purses.
type part struct {
	calls  float64
	purses []float64
}

// divide is fairShares in requests, by purse.
func divide(limit int, rows []batholith.Load) []part {
	parts := make([]part, len(rows))
	var calls, first claims
	groups := map[string]map[int]*claims{}
	for i, r := range rows {
		calls.add(float64(min(r.Calls, r.Wants)), 1, &parts[i].calls)
		purses := pursesOf(r)
		parts[i].purses = make([]float64, len(purses))
		for k, p := range purses {
			to := &first
			if p.Group != "" {
				if groups[p.Group] == nil {
					groups[p.Group] = map[int]*claims{}
				}
				if to = groups[p.Group][p.Weight]; to == nil {
					to = &claims{}
					groups[p.Group][p.Weight] = to
				}
			}
			to.add(float64(p.Wants), 1, &parts[i].purses[k])
		}
	}
	left := float64(limit)
	left -= calls.divide(goFirst * left)
	if len(groups) > 0 {
		left -= first.divide(goFirst * left)
	} else {
		left -= first.divide(left)
	}
	divideGroups(left, groups)
	return parts
}

// divideGroups divides an amount among groups, and what each gets among its purses.
func divideGroups(amount float64, groups map[string]map[int]*claims) {
	var top claims
	got := make([]float64, len(groups))
	names := slices.Sorted(maps.Keys(groups))
	for i, name := range names {
		wants := 0.0
		for _, c := range groups[name] {
			wants += c.wants()
		}
		top.add(wants, 1, &got[i])
	}
	top.divide(amount)
	for i, name := range names {
		var lines claims
		weights := slices.Sorted(maps.Keys(groups[name]))
		parts := make([]float64, len(weights))
		for k, w := range weights {
			lines.add(groups[name][w].wants(), float64(w), &parts[k])
		}
		lines.divide(got[i])
		for k, w := range weights {
			groups[name][w].divide(parts[k])
		}
	}
}

// pursesOf returns the purses of a row. A row without any has one.
func pursesOf(r batholith.Load) []batholith.Purse {
	if len(r.Purses) > 0 {
		return r.Purses
	}
	return []batholith.Purse{{Group: "-", Weight: 1, Wants: r.Wants - min(r.Calls, r.Wants)}}
}

// claims are wishes among which an amount is divided.
type claims []claim

type claim struct {
	wants, weight float64
	got           *float64
}

func (c *claims) add(wants, weight float64, got *float64) { *c = append(*c, claim{wants, weight, got}) }

func (c claims) wants() (sum float64) {
	for _, x := range c {
		sum += x.wants
	}
	return sum
}

// divide divides an amount by weight: nobody gets more than he wants. It returns how much was given.
func (c claims) divide(amount float64) float64 {
	left := amount
	for {
		weights := 0.0
		for _, x := range c {
			if *x.got < x.wants {
				weights += x.weight
			}
		}
		if weights == 0 || left <= 1e-9 {
			return amount - left
		}
		each := left / weights
		for _, x := range c {
			if more := min(each*x.weight, x.wants-*x.got); more > 0 {
				*x.got += more
				left -= more
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
