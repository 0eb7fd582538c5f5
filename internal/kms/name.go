package kms

import (
	"regexp"
	"strings"
)

var (
	idForm    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	aliasForm = regexp.MustCompile(`^[A-Za-z0-9/_-]{1,250}$`)
)

// ValidID reports whether a text can be the id of a key.
func ValidID(id string) bool { return idForm.MatchString(id) }

// Alias returns the name of an alias without the prefix alias/; ok is false if it is not a
// valid one (KMS: CreateAlias).
func Alias(text string) (name string, ok bool) {
	name = strings.TrimPrefix(text, "alias/")
	return name, aliasForm.MatchString(name)
}

// place is where keys are, for their ARNs: the region, and the account of keys that name none.
type place struct{ region, account string }

// arn is the ARN of a key or an alias; resource is key/ID or alias/NAME.
func (p place) arn(h *held, resource string) string {
	return "arn:aws:kms:" + p.region + ":" + h.Account + ":" + resource
}

// accountOf returns the account that an ARN of a key names; ok is false for other texts.
func accountOf(name string) (account string, ok bool) {
	parts := strings.SplitN(name, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" {
		return "", false
	}
	return parts[4], true
}

// resource reduces the four forms of a key's name to id or alias/NAME: ID, alias/NAME,
// arn:aws:kms:REGION:ACCOUNT:key/ID and arn:aws:kms:REGION:ACCOUNT:alias/NAME. ok is false for
// an ARN of another region, account or service.
func (p place) resource(account, name string) (resource string, ok bool) {
	if !strings.HasPrefix(name, "arn:") {
		return name, name != ""
	}
	parts := strings.SplitN(name, ":", 6)
	if len(parts) != 6 || parts[2] != "kms" || parts[3] != p.region || parts[4] != account {
		return "", false
	}
	if id, is := strings.CutPrefix(parts[5], "key/"); is {
		return id, id != ""
	}
	return parts[5], strings.HasPrefix(parts[5], "alias/")
}
