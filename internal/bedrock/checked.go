package bedrock

import "github.com/batholith/batholith"

// CheckCreate checks the members of a CreateModelInvocationJob that came through another API, as the handler checks a request. members is the
// request as JSON would give it: strings, float64, []any and map[string]any. The error names every broken constraint.
func CheckCreate(members map[string]any, profile Profile, limits batholith.Limits) (*CreateModelInvocationJobInput, error) {
	c := &checker{rules: rulesFor(profile, limits)}
	in := c.createModelInvocationJobInput(object{values: members})
	if err := c.err(); err != nil {
		return nil, err
	}
	return &in, nil
}
