package control

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/authz"
	"github.com/batholith/batholith/internal/bedrock"
)

func TestUsageIsAddedUpAndEachCurrencyStaysApart(t *testing.T) {
	a := newTester(nil)
	group := func(model, price string, output int64) batholith.Spent {
		return batholith.Spent{Account: account, Principal: "alice", Model: model, Price: price, Records: 1, Tokens: batholith.Tokens{Output: output}, Wasted: batholith.Tokens{Output: 1}}
	}
	a.memory.spent = []batholith.Spent{group("m", "", 5), group("m", "1 1 1 USD", 10), group("m", "1 2 1 EUR", 10), group("m", "2 2 2 USD", 10), group("n", "2 2 2 USD", 10)}
	out, err := a.GetUsage(a.ctx, &bedrock.GetUsageInput{GroupBy: "principal,model"})
	if err != nil {
		t.Fatal(err)
	}
	type line struct {
		model, cost string
		records     int64
	}
	var got []line
	for _, g := range out.Usage {
		got = append(got, line{g.ModelID, g.Cost + g.Currency, g.RecordCount})
	}
	want := []line{{"m", "", 1}, {"m", "0.000033USD", 2}, {"m", "0.000022EUR", 1}, {"n", "0.000022USD", 1}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(line{})); d != "" {
		t.Error(d)
	}
	if q := a.memory.asked; !q.ByPrincipal || !q.ByModel || q.ByDay || q.ByJob || q.Since != batholith.DayOf(a.Clock())-usageDays {
		t.Errorf("asked %+v", q)
	}
	day := func(s string) bedrock.Timestamp {
		at, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return bedrock.Timestamp{Time: at}
	}
	if _, err := a.GetUsage(a.ctx, &bedrock.GetUsageInput{StartTime: day("2026-01-01T12:00:00Z"), EndTime: day("2026-01-03T00:00:00Z")}); err != nil {
		t.Fatal(err)
	}
	if q := a.memory.asked; q.Until-q.Since != 2 {
		t.Errorf("from the day of the first noon up to the midnight after the next day: %+v", q)
	}
	_, err = a.GetUsage(a.ctx, &bedrock.GetUsageInput{GroupBy: "colour"})
	refused(t, err, bedrock.CodeValidation, "principal, model, day and job")
}

func TestWhoMayNotSeeTheAccountSeesItsOwnUsage(t *testing.T) {
	set, err := authz.Parse("p", `permit(principal == Principal::"boss", action == Action::"bedrock:GetUsage", resource);
		permit(principal, action == Action::"bedrock:ListModelInvocationJobs", resource);
		forbid(principal == Principal::"nobody", action, resource);`)
	if err != nil {
		t.Fatal(err)
	}
	store := newMemory()
	for _, who := range []string{"alice", "boss"} {
		store.spent = append(store.spent, batholith.Spent{Account: account, Principal: who, Records: 1})
	}
	a := New(Options{Store: store, Authorizer: decided{set}, Region: "us-east-1"})
	for who, want := range map[string]int{"boss": 2, "alice": 1, "nobody": -1} {
		ctx := bedrock.WithCaller(t.Context(), bedrock.Caller{Account: account, Principal: who})
		out, err := a.GetUsage(ctx, &bedrock.GetUsageInput{GroupBy: "principal"})
		if want < 0 {
			refused(t, err, bedrock.CodeAccessDenied, "bedrock:GetUsage")
			continue
		}
		if err != nil || len(out.Usage) != want {
			t.Errorf("%s sees %+v, %v", who, out, err)
		}
		_, err = a.GetUsage(ctx, &bedrock.GetUsageInput{Principal: "alice"})
		if (err == nil) != (who != "nobody") {
			t.Errorf("%s asks for alice's: %v", who, err)
		}
		if _, err = a.GetUsage(ctx, &bedrock.GetUsageInput{Principal: "boss"}); (err == nil) != (who == "boss") {
			t.Errorf("%s asks for the boss's: %v", who, err)
		}
	}
}
