/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A link in a VLAN, for a kernel that may have neither VLAN devices nor bridges that filter them: what the kernel sends out of
 * an interface bears the tag, and what comes in with it loses it. What comes in with none, or another, is nobody's.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>

#define SEC(name) __attribute__((section(name), used))
#ifndef VLAN
#error "build with -DVLAN=number"
#endif

static long (*bpf_skb_vlan_push)(void *skb, __be16 protocol, __u16 control) = (void *)BPF_FUNC_skb_vlan_push;
static long (*bpf_skb_vlan_pop)(void *skb) = (void *)BPF_FUNC_skb_vlan_pop;

SEC("tc/egress") int tag(struct __sk_buff *skb)
{
	return bpf_skb_vlan_push(skb, __builtin_bswap16(ETH_P_8021Q), VLAN) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("tc/ingress") int untag(struct __sk_buff *skb)
{
	if (!skb->vlan_present || (skb->vlan_tci & 0xfff) != VLAN)
		return TC_ACT_SHOT;
	return bpf_skb_vlan_pop(skb) ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual MIT/GPL";
