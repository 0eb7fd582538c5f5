package config

import (
	"fmt"

	"github.com/batholith/batholith/internal/network"
)

// checkNetwork checks the subnets and security groups that a job's vpcConfig may name.
func (l *loader) checkNetwork() {
	taken := names{l: l}
	for i, s := range l.config.Network.Subnets {
		at := fmt.Sprintf("network.subnets[%d]", i)
		taken.take(at+".id", s.ID)
		if !subnetForm.MatchString(s.ID) {
			l.bad(at+".id", "use letters, digits and dashes, at most 32", "%q is not a valid subnet id", s.ID)
		}
		if _, part, err := s.parse(); err != nil {
			l.fault(at+"."+part, err)
		}
	}
	taken = names{l: l}
	for i, g := range l.config.Network.SecurityGroups {
		at := fmt.Sprintf("network.security_groups[%d]", i)
		taken.take(at+".id", g.ID)
		if !subnetForm.MatchString(g.ID) {
			l.bad(at+".id", "use letters, digits and dashes, at most 32", "%q is not a valid security group id", g.ID)
		}
		for j, text := range g.Egress {
			if _, err := network.ParseRule(text); err != nil {
				l.fault(fmt.Sprintf("%s.egress[%d]", at, j), err)
			}
		}
	}
}

// parse returns the subnet as package network takes it, or an error and the setting that it is about.
func (s Subnet) parse() (to network.Subnet, part string, err error) {
	to.ID = s.ID
	if s.SourceAddress != "" {
		if to.Source, err = network.ParseSource(s.SourceAddress); err != nil {
			return to, "source_address", err
		}
	}
	if s.Interface != "" {
		if to.Interface, err = network.ParseInterface(s.Interface); err != nil {
			return to, "interface", err
		}
	}
	if s.Proxy != "" {
		if to.Proxy, err = network.ParseProxy(s.Proxy); err != nil {
			return to, "proxy", err
		}
	}
	return to, "", nil
}

// Open returns the configured networks. The settings were checked when they were loaded.
func (n Network) Open() (*network.Networks, error) {
	var subnets []network.Subnet
	for _, s := range n.Subnets {
		subnet, part, err := s.parse()
		if err != nil {
			return nil, fmt.Errorf("subnet %s: %s: %w", s.ID, part, err)
		}
		subnets = append(subnets, subnet)
	}
	var groups []network.Group
	for _, g := range n.SecurityGroups {
		group := network.Group{ID: g.ID}
		for _, text := range g.Egress {
			rule, err := network.ParseRule(text)
			if err != nil {
				return nil, fmt.Errorf("security group %s: %w", g.ID, err)
			}
			group.Egress = append(group.Egress, rule)
		}
		groups = append(groups, group)
	}
	return network.New(subnets, groups), nil
}
