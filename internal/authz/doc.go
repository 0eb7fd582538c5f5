// Package authz decides who may do what. Policies are written in Cedar (https://www.cedarpolicy.com) and checked against the schema in
// schema.cedarschema when they are loaded, so that a policy that names an unknown action, type or attribute is refused with its line and
// column and never ignored.
//
// The rules, in their order:
//
//   - Nobody may do anything with a resource of another account, whatever the policies say.
//   - Without a policy file, every principal may do everything in its own account.
//   - With one, everything is denied that no policy permits, and a policy that forbids wins.
//   - A policy that forbids and cannot be evaluated denies.
//
// The package must not know what an action does, what HTTP is, or where jobs are kept.
package authz
