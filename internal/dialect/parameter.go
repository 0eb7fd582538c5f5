package dialect

// parameters say how a family names the parameters of generation, what the server calls each, and what may be in it.
type parameters map[string]struct {
	name  string
	check func(name string, v value) error
}

// take sets a parameter of the family. Others are passed on when servers have them beside OpenAI's own, and refused if not.
func (c *chat) take(ps parameters, name string, v value) error {
	p, ok := ps[name]
	if !ok {
		return c.other(name, v)
	}
	c.set(p.name, v)
	return p.check(name, v)
}

// takeKnown is take without others, for configurations that stand in an object of their own.
func (c *chat) takeKnown(ps parameters, name string, v value) error {
	if _, ok := ps[name]; !ok {
		return extra(name)
	}
	return c.take(ps, name, v)
}

// takeOnly takes every member of such a configuration.
func (c *chat) takeOnly(ps parameters, config value) error {
	if config.kind() != '{' {
		return wrong("Input should be an object")
	}
	return config.each(func(name string, v value) error { return c.takeKnown(ps, name, v) })
}

// other takes a member that the family does not know.
func (c *chat) other(name string, v value) error {
	if !extensions[name] {
		return extra(name)
	}
	c.set(name, v)
	return nil
}

// count is the check for a whole number of at least min.
func count(min int64) func(string, value) error {
	return func(name string, v value) error { return wantCount(name, v, min) }
}

// number is the check for a number from min to max.
func number(min, max float64) func(string, value) error {
	return func(name string, v value) error { return wantNumber(name, v, min, max) }
}

// extensions are parameters that no family names, but that vLLM, SGLang or llama.cpp understand beside OpenAI's own.
var extensions = map[string]bool{
	"top_k": true, "min_p": true, "typical_p": true, "top_n_sigma": true, "min_tokens": true, "seed": true,
	"presence_penalty": true, "frequency_penalty": true, "repetition_penalty": true, "repeat_penalty": true, "repeat_last_n": true,
	"logit_bias": true, "logprobs": true, "top_logprobs": true, "stop_token_ids": true, "ignore_eos": true,
	"include_stop_str_in_output": true, "skip_special_tokens": true, "spaces_between_special_tokens": true,
	"guided_json": true, "guided_regex": true, "guided_choice": true, "guided_grammar": true, "structured_outputs": true,
	"regex": true, "ebnf": true, "grammar": true, "json_schema": true, "response_format": true, "parallel_tool_calls": true,
	"chat_template_kwargs": true, "reasoning_effort": true, "cache_prompt": true, "truncate_prompt_tokens": true,
	"mirostat": true, "mirostat_tau": true, "mirostat_eta": true, "dynatemp_range": true, "dynatemp_exponent": true,
	"xtc_probability": true, "xtc_threshold": true, "dry_multiplier": true, "dry_base": true, "dry_allowed_length": true,
	"dry_penalty_last_n": true, "dry_sequence_breakers": true, "samplers": true,
}
