package dialect

import (
	"strconv"

	"github.com/batholith/batholith"
)

// WithPriority returns the call with the member priority, by which vLLM and SGLang order the
// requests that wait. It is a spare member: servers without such an order refuse it. A record's
// own priority stays as it is.
func WithPriority(call batholith.Call, n int64) batholith.Call {
	body := trim(call.Body)
	if body.kind() != '{' || !body.member("priority").absent() {
		return call
	}
	b := make(buffer, 0, len(body)+32)
	b.open('{')
	b.member("priority", value(strconv.AppendInt(nil, n, 10)))
	for raw, v := range body.fields() {
		b.field(raw, v)
	}
	b.close('}')
	call.Body = b
	call.Spare |= sparePriority
	return call
}

// IsPriority reports whether s is the member that WithPriority adds, and no other.
func IsPriority(s batholith.Spare) bool { return s == sparePriority }
