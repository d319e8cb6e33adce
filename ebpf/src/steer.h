/* SPDX-License-Identifier: (MIT OR Apache-2.0) OR GPL-2.0-only */
/*
 * What the program and its loader agree on: map layouts, the order of the counters and their limits.
 * src/layout.rs is the other side of it; a test there compares the two.
 */
#ifndef BORDERGATE_STEER_H
#define BORDERGATE_STEER_H

/* 802.1Q and 802.1ad tags that are looked through. */
#define STEER_TAGS 2

/* Entries of the maps until the loader says otherwise. */
#define STEER_QUEUES 64
#define STEER_ADDRESSES 1024

/* Each frame moves exactly one of these, so that their sum is the frames seen. */
enum steer_counter {
	STEER_STEERED = 0,   /* handed to the socket of the receiving queue */
	STEER_NO_SOCKET = 1, /* dropped: ours, but no socket is registered for the queue */
	STEER_TO_KERNEL = 2, /* left to the kernel: not ours */
	STEER_MALFORMED = 3, /* dropped: a header is cut off or contradicts itself */
	STEER_COUNTERS = 4,
};

/*
 * The key of an address map, in network order: an IPv6 address, or an IPv4 address mapped into
 * ::ffff:0:0/96.
 */
struct steer_address {
	unsigned int words[4];
};

/* The one value of the settings map. */
struct steer_settings {
	unsigned char mac[6]; /* the interface's own */
	unsigned char reserved[2];
};

#endif
