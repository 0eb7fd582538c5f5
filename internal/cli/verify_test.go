package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/batholith/batholith/internal/verify"
)

func TestVerifyTellsTheFirstDifferencesAndCountsAll(t *testing.T) {
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr}
	found := verify.Result{Count: 1001}
	for range verify.ShownDifferences {
		found.Differences = append(found.Differences, verify.Difference{File: "a.jsonl", Line: 7, What: "it differs"})
	}
	err := a.closeVerify(found, false)
	if err == nil || err.Error() != "1,001 differences; the first 20 are above" || exitCode(err) != exitFailed {
		t.Error(err)
	}
	if n := strings.Count(stdout.String(), "a.jsonl:7: it differs\n"); n != verify.ShownDifferences {
		t.Errorf("%d lines:\n%s", n, stdout.String())
	}
}
