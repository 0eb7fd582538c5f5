package network

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Rule allows connections to the addresses of a prefix at some ports.
type Rule struct {
	Prefix      netip.Prefix // masked; IPv4 is never written as IPv6
	First, Last uint16       // ports, both included
}

// Fault is a mistake in a setting, with what to write instead.
type Fault struct{ Reason, Remedy string }

// Error returns reason and remedy.
func (f *Fault) Error() string { return f.Reason + "; " + f.Remedy }

func fault(remedy, reason string, args ...any) *Fault {
	return &Fault{Reason: fmt.Sprintf(reason, args...), Remedy: remedy}
}

const ruleForm = "write addresses and ports, such as 10.0.0.0/8:443, 10.1.2.3:8000-8010, [2001:db8::]/32:443, or 0.0.0.0/0:* for all of IPv4"

// ParseRule reads "ADDRESSES:PORTS". ADDRESSES is a prefix or one address; an IPv6 address may stand in
// brackets, and must where no prefix length follows it. PORTS is a port, a range FIRST-LAST, or * for all
// ports. The error is a [*Fault].
func ParseRule(text string) (Rule, error) {
	at := strings.LastIndexByte(text, ':')
	if at < 0 {
		return Rule{}, fault(ruleForm, "%q is not a valid egress rule: its ports are missing", text)
	}
	prefix, err := parsePrefix(text[:at])
	if err != nil {
		return Rule{}, err
	}
	first, last, ok := parsePorts(text[at+1:])
	if !ok {
		return Rule{}, fault("write a port from 1 to 65535, a range such as 8000-8010, or *", "%q in the egress rule %q is not a valid port", text[at+1:], text)
	}
	return Rule{Prefix: prefix, First: first, Last: last}, nil
}

func parsePrefix(text string) (netip.Prefix, error) {
	address, bits, hasBits := strings.Cut(text, "/")
	bare, bracketed := strings.CutPrefix(address, "[")
	if bracketed {
		var closed bool
		if bare, closed = strings.CutSuffix(bare, "]"); !closed {
			bare = "" // an error below
		}
	}
	a, err := netip.ParseAddr(bare)
	switch {
	case err != nil, a.Zone() != "":
		return netip.Prefix{}, fault(ruleForm+"; host names are resolved before the rules are checked", "%q is not a valid address or prefix of an egress rule", text)
	case bracketed && a.Is4(), a.Is6() && !bracketed && !hasBits: // 2001:db8::1:443 may end with a port or without
		return netip.Prefix{}, fault("write an IPv6 address in brackets, such as [2001:db8::1]:443, and an IPv4 address without", "%q is not a valid address of an egress rule", text)
	case a.Is4In6():
		return netip.Prefix{}, fault("write "+a.Unmap().String(), "%q is an IPv4 address written as IPv6", text)
	case !hasBits:
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	n, err := strconv.ParseUint(bits, 10, 8)
	p := netip.PrefixFrom(a, int(n))
	switch {
	case err != nil, !p.IsValid(), strconv.FormatUint(n, 10) != bits:
		return netip.Prefix{}, fault(fmt.Sprintf("write a number from 0 to %d", a.BitLen()), "%q is not a valid prefix length of %s", bits, a)
	case p != p.Masked():
		return netip.Prefix{}, fault(fmt.Sprintf("write %s, or %s/%d for this address alone", p.Masked(), a, a.BitLen()), "%s has bits set beyond the first %d", p, n)
	}
	return p, nil
}

// parsePorts reads 443, 8000-8010 or *.
func parsePorts(text string) (first, last uint16, ok bool) {
	if text == "*" {
		return 1, 65535, true
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	a, aOK := parsePort(from)
	b, bOK := parsePort(to)
	return a, b, aOK && bOK && a <= b
}

func parsePort(text string) (uint16, bool) {
	n, err := strconv.ParseUint(text, 10, 16)
	return uint16(n), err == nil && n > 0 && strconv.FormatUint(n, 10) == text
}

// Permits reports whether the rule allows connections to an address and port. An IPv4 address that is
// written as IPv6 (::ffff:10.1.2.3) counts as IPv4.
func (r Rule) Permits(to netip.AddrPort) bool {
	return r.Prefix.Contains(to.Addr().Unmap().WithZone("")) && r.First <= to.Port() && to.Port() <= r.Last
}

// String returns the rule as [ParseRule] reads it.
func (r Rule) String() string {
	ports := fmt.Sprintf("%d-%d", r.First, r.Last)
	switch {
	case r.First == 1 && r.Last == 65535:
		ports = "*"
	case r.First == r.Last:
		ports = strconv.Itoa(int(r.First))
	}
	return r.Prefix.String() + ":" + ports
}

// alone is the rule that allows one address and port only.
func alone(to netip.AddrPort) Rule {
	a := to.Addr().Unmap().WithZone("")
	return Rule{Prefix: netip.PrefixFrom(a, a.BitLen()), First: to.Port(), Last: to.Port()}
}
