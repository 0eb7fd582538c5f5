package batholith_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

func TestAGuardedPanicKeepsNothingOfItsValue(t *testing.T) {
	secret := "PROMPT"
	for name, do := range map[string]func(){
		"text":    func() { panic("over " + secret) },
		"error":   func() { panic(errors.New(secret)) },
		"bytes":   func() { panic([]byte(secret)) },
		"nil":     func() { panic(nil) },
		"index":   func() { _ = []byte(secret)[len(secret)] },
		"type":    func() { _ = any(secret).(int) },
		"wrapped": func() { defer func() { panic(recover()) }(); panic(secret) },
	} {
		err := batholith.Guard("read "+name, func() error { do(); return nil })
		e, ok := errors.AsType[*batholith.Broken](err)
		if !ok || !strings.Contains(err.Error(), "read "+name) || !strings.Contains(e.Stack, "fault_test.go") {
			t.Errorf("%s: %v, stack:\n%s", name, err, e.Stack)
			continue
		}
		if strings.Contains(e.Error()+e.Stack, secret) {
			t.Errorf("%s: the secret is told: %v\n%s", name, err, e.Stack)
		}
	}
	if err := batholith.Guard("", func() error { return batholith.ErrStopped }); err != batholith.ErrStopped {
		t.Errorf("an error became %v", err)
	}
}
