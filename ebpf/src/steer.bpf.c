/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * Steers frames into the AF_XDP socket of the queue they came in on. Two programs, one per side:
 *
 *   steer_wan  ESP, UDP to 500 and 4500, and fragments of ESP and of any UDP, for one of the gateway's public addresses
 *   steer_vpc  every unicast IP packet sent to this interface that is not for the host itself
 *
 * All else stays with the kernel. What is ours and finds no socket is dropped, not passed on: the link is
 * pinned and outlives the daemon, and the kernel must not route VPC traffic in clear in its place.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>

#include "steer.h"

/* The few things of libbpf's bpf_helpers.h in use here, so that it need not be installed to build. */
#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, type) typeof(type) *name
#define inline __attribute__((always_inline)) inline
#define bpf_htons(x) __builtin_bswap16(x)
#define bpf_htonl(x) __builtin_bswap32(x)
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "build with -target bpf or bpfel"
#endif

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*bpf_redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, STEER_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct steer_address);
	__type(value, __u8);
} gateway_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STEER_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct steer_address);
	__type(value, __u8);
} local_addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct steer_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

struct tag {
	__be16 control;
	__be16 protocol;
};

struct fragment_header {
	__u8 next_header;
	__u8 reserved;
	__be16 offset;
	__be32 identification;
};

/* What the two sides need to know of a frame: its network header, and where that is. */
struct packet {
	struct ethhdr *ethernet;
	void *network;
	void *end;
	struct steer_address destination;
	__be16 protocol; /* ETH_P_IP or ETH_P_IPV6 */
};

static inline int counted(__u32 counter, int action)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += 1;
	return action;
}

static inline int to_kernel(void)
{
	return counted(STEER_TO_KERNEL, XDP_PASS);
}

static inline int malformed(void)
{
	return counted(STEER_MALFORMED, XDP_DROP);
}

static inline int to_socket(struct xdp_md *ctx)
{
	long action = bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_DROP);

	return counted(action == XDP_REDIRECT ? STEER_STEERED : STEER_NO_SOCKET, action);
}

static inline void map_v4(struct steer_address *address, __be32 v4)
{
	address->words[0] = 0;
	address->words[1] = 0;
	address->words[2] = bpf_htonl(0xffff);
	address->words[3] = v4;
}

/*
 * Finds the network header behind up to STEER_TAGS tags and checks it.
 * Returns 0 with `packet` filled in, or the action for a frame that is no IP packet.
 */
static inline int parse(struct xdp_md *ctx, struct packet *packet, int *action)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *ethernet = (void *)(long)ctx->data;
	void *at = ethernet + 1;
	__be16 protocol;

	if (at > end) {
		*action = malformed();
		return -1;
	}
	protocol = ethernet->h_proto;

#pragma unroll
	for (int i = 0; i < STEER_TAGS; i++) {
		struct tag *tag = at;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > end) {
			*action = malformed();
			return -1;
		}
		protocol = tag->protocol;
		at = tag + 1;
	}

	packet->ethernet = ethernet;
	packet->network = at;
	packet->end = end;
	packet->protocol = protocol;

	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = at;

		if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5 || at + ip->ihl * 4 > end) {
			*action = malformed();
			return -1;
		}
		map_v4(&packet->destination, ip->daddr);
		return 0;
	}
	if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = at;

		if ((void *)(ip + 1) > end || ip->version != 6) {
			*action = malformed();
			return -1;
		}
		__builtin_memcpy(&packet->destination, &ip->daddr, sizeof(packet->destination));
		return 0;
	}
	*action = to_kernel();
	return -1;
}

/* A frame to a group address: the kernel never forwards such a frame as unicast. */
static inline int to_group(const struct packet *packet)
{
	return packet->ethernet->h_dest[0] & 1;
}

SEC("xdp.frags") int steer_wan(struct xdp_md *ctx)
{
	struct packet packet;
	void *transport;
	__u8 protocol;
	int fragment;
	int action;

	if (parse(ctx, &packet, &action))
		return action;
	if (to_group(&packet) || !bpf_map_lookup_elem(&gateway_addresses, &packet.destination))
		return to_kernel();

	if (packet.protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = packet.network;

		protocol = ip->protocol;
		/* More fragments, or an offset. */
		fragment = (ip->frag_off & bpf_htons(0x3fff)) != 0;
		transport = packet.network + ip->ihl * 4;
	} else {
		struct ipv6hdr *ip = packet.network;

		protocol = ip->nexthdr;
		fragment = protocol == IPPROTO_FRAGMENT;
		transport = ip + 1;
		if (fragment) {
			struct fragment_header *header = transport;

			if ((void *)(header + 1) > packet.end)
				return malformed();
			protocol = header->next_header;
		}
	}

	if (protocol != IPPROTO_ESP && protocol != IPPROTO_UDP)
		return to_kernel();
	/* Only the first fragment has ports, and none may miss where the packet is put together. */
	if (protocol == IPPROTO_UDP && !fragment) {
		struct udphdr *udp = transport;

		if ((void *)(udp + 1) > packet.end)
			return malformed();
		if (udp->dest != bpf_htons(500) && udp->dest != bpf_htons(4500))
			return to_kernel();
	}
	return to_socket(ctx);
}

/* Addresses that never name one host beyond this link: they are the kernel's, whoever sends to them. */
static inline int link_scoped(const struct packet *packet)
{
	const __u32 *words = packet->destination.words;

	if (packet->protocol == bpf_htons(ETH_P_IP))
		/* 224.0.0.0/4, 255.255.255.255 */
		return (words[3] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) || words[3] == 0xffffffff;
	/* ff00::/8, fe80::/10 */
	return (words[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) ||
	       (words[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* A frame for somebody else on the link, flooded to us; the kernel does not take it either. */
static inline int to_other_station(const struct packet *packet)
{
	__u32 key = 0;
	struct steer_settings *own = bpf_map_lookup_elem(&settings, &key);

	if (!own)
		return 0;
	for (int i = 0; i < ETH_ALEN; i++)
		if (packet->ethernet->h_dest[i] != own->mac[i])
			return 1;
	return 0;
}

SEC("xdp.frags") int steer_vpc(struct xdp_md *ctx)
{
	struct packet packet;
	int action;

	if (parse(ctx, &packet, &action))
		return action;
	if (to_group(&packet) || to_other_station(&packet) || link_scoped(&packet))
		return to_kernel();
	if (bpf_map_lookup_elem(&local_addresses, &packet.destination))
		return to_kernel();
	return to_socket(ctx);
}

char _license[] SEC("license") = "Dual MIT/GPL";
