package egress

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// The interface that everything outside of the machine is routed to. No packet ever leaves through it.
	linkName = "caisson0"
	ownV4    = "198.18.0.1/15"
	ownV6    = "fdca:1550::1/48"
)

// isOwn tells whether an address is the machine's own on the interface, and not one of a namespace inside of it.
func isOwn(address netip.Addr) bool {
	return netip.MustParsePrefix(ownV4).Addr() == address || netip.MustParsePrefix(ownV6).Addr() == address
}

// plumb brings up loopback and an interface with a default route, so that programs find a network to connect through.
func plumb() error {
	loopback, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("set up loopback: %w", err)
	}
	if err := netlink.LinkSetUp(loopback); err != nil {
		return fmt.Errorf("set up loopback: %w", err)
	}
	// The module makes one of its own when it is loaded.
	if stray, err := netlink.LinkByName("dummy0"); err == nil {
		netlink.LinkDel(stray)
	}
	// Everybody may ping; the image's ping has no privileges.
	os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0)
	dummy := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: linkName}}
	if err := netlink.LinkAdd(dummy); err != nil {
		return fmt.Errorf("create interface %s: %w", linkName, err)
	}
	// Nobody is there who could advertise a router.
	os.WriteFile("/proc/sys/net/ipv6/conf/"+linkName+"/accept_ra", []byte("0"), 0)
	os.WriteFile("/proc/sys/net/ipv6/conf/"+linkName+"/router_solicitations", []byte("0"), 0)
	link, err := netlink.LinkByName(linkName)
	if err != nil {
		return err
	}
	for _, own := range []string{ownV4, ownV6} {
		address, err := netlink.ParseAddr(own)
		if err != nil {
			return err
		}
		if address.IP.To4() == nil {
			// Nobody else can have it; without detection it is usable at once.
			address.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrAdd(link, address); err != nil {
			return fmt.Errorf("add address %s: %w", own, err)
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring %s up: %w", linkName, err)
	}
	for _, all := range []net.IPNet{
		{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
	} {
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: &all, Scope: netlink.SCOPE_LINK}); err != nil {
			return fmt.Errorf("add default route: %w", err)
		}
	}
	return nil
}
