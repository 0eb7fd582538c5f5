package network

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func address(t *rapid.T, label string) netip.Addr {
	size := rapid.SampledFrom([]int{4, 16}).Draw(t, label+" length")
	bytes := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 10, 127, 128, 255}), size, size).Draw(t, label) // few values, so that prefixes meet
	a, _ := netip.AddrFromSlice(bytes)
	return a.Unmap()
}

func TestARulePermitsThePrefixAndThePortsItNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := address(t, "prefix")
		prefix := netip.PrefixFrom(a, rapid.IntRange(0, a.BitLen()).Draw(t, "bits")).Masked()
		first := rapid.Uint16Range(1, 65535).Draw(t, "first")
		last := rapid.Uint16Range(first, 65535).Draw(t, "last")
		text := fmt.Sprintf("%s:%d-%d", prefix, first, last)
		r, err := ParseRule(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again, err := ParseRule(r.String()); err != nil || again != r {
			t.Fatalf("%s is written as %s, which reads as %v %v", text, r, again, err)
		}
		to := netip.AddrPortFrom(address(t, "to"), rapid.Uint16().Draw(t, "port"))
		want := prefix.Contains(to.Addr()) && to.Port() >= first && to.Port() <= last
		if got := r.Permits(to); got != want {
			t.Fatalf("%s permits %s: %v", r, to, got)
		}
		if to.Addr().Is4() {
			mapped := netip.AddrPortFrom(netip.AddrFrom16(to.Addr().As16()), to.Port())
			if got := r.Permits(mapped); got != want {
				t.Fatalf("%s permits %s as %s: %v", r, to, mapped, got)
			}
		}
		if n := (&Network{rules: []Rule{r, alone(to)}}); !n.Permits(to) && !to.Addr().IsUnspecified() {
			t.Fatalf("the rule %s does not permit %s", alone(to), to)
		}
	})
}

func TestRulesThatSayNoAddressesAndPortsAreRefusedWithTheRightForm(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "ports are missing",
		"10.0.0.0/8":              "ports are missing",
		"10.0.0.0/8:":             "is not a valid port",
		"10.0.0.0/8:0":            "is not a valid port",
		"10.0.0.0/8:65536":        "is not a valid port",
		"10.0.0.0/8:9-8":          "is not a valid port",
		"10.0.0.0/8:080":          "is not a valid port",
		"10.0.0.0/8:+80":          "is not a valid port",
		"10.0.0.0/33:80":          "is not a valid prefix length",
		"10.0.0.0/08:80":          "is not a valid prefix length",
		"10.1.2.3/8:80":           "write 10.0.0.0/8, or 10.1.2.3/32",
		"example.net:443":         "host names are resolved",
		"2001:db8::1:443":         "in brackets",
		"[10.0.0.1]:443":          "without",
		"[2001:db8::1:443":        "is not a valid address or prefix",
		"::ffff:10.0.0.0/104:443": "write 10.0.0.0",
		"fe80::%eth0/64:443":      "is not a valid address or prefix",
	} {
		_, err := ParseRule(text)
		var f *Fault
		if !errors.As(err, &f) || !strings.Contains(err.Error(), want) || f.Remedy == "" {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"10.0.0.0/8:443": "10.0.0.0/8:443", "127.0.0.0/8:*": "127.0.0.0/8:*", "10.1.2.3:8000-8010": "10.1.2.3/32:8000-8010",
		"[2001:db8::1]:443": "2001:db8::1/128:443", "[2001:db8::]/32:443": "2001:db8::/32:443", "2001:db8::/32:443": "2001:db8::/32:443", "::/0:*": "::/0:*",
	} {
		if r, err := ParseRule(text); err != nil || r.String() != want {
			t.Errorf("%q reads as %v %v", text, r, err)
		}
	}
}

func TestAFaultyProxyIsRefusedWithoutItsPassword(t *testing.T) {
	for _, text := range []string{"proxy.example.net:3128", "ftp://u:hunter2@p", "http://u:hunter2@", "http://u:hunter2@p/path", "socks5h://u:hunter2@p", "http://u:hun ter2@p:x"} {
		if _, err := ParseProxy(text); err == nil || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"http://p:3128", "https://u:s@p", "socks5://[::1]:1080/"} {
		if _, err := ParseProxy(text); err != nil {
			t.Error(err)
		}
	}
}
