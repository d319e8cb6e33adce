/*
 * Preloaded into OpenIKED: its PF_KEY socket (RFC 2367) leads to a program that plays the kernel's part, for a kernel may
 * come without PF_KEY or without ESP. AF_KEY_SOCKET names the Unix socket of that program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int socket(int domain, int type, int protocol) {
    int (*next)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
    const char *path = getenv("AF_KEY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (domain != AF_KEY || path == NULL || strlen(path) >= sizeof(address.sun_path))
        return next(domain, type, protocol);
    strcpy(address.sun_path, path);
    /* Messages keep their borders, as they do in PF_KEY. */
    int descriptor = next(AF_UNIX, SOCK_SEQPACKET, 0);
    if (descriptor >= 0 && connect(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(descriptor);
        return -1;
    }
    return descriptor;
}

/* Policies of the kernel for its sockets: there are none to pass by. */
int setsockopt(int descriptor, int level, int option, const void *value, socklen_t length) {
    int (*next)(int, int, int, const void *, socklen_t) =
        (int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
    if ((level == IPPROTO_IP && option == IP_IPSEC_POLICY) || (level == IPPROTO_IPV6 && option == IPV6_IPSEC_POLICY))
        return 0;
    return next(descriptor, level, option, value, length);
}

/* A kernel answers at once, so OpenIKED waits for a millisecond; a program needs its turn on the processor. */
int poll(struct pollfd *descriptors, nfds_t count, int timeout) {
    int (*next)(struct pollfd *, nfds_t, int) = (int (*)(struct pollfd *, nfds_t, int))dlsym(RTLD_NEXT, "poll");
    int type = 0;
    socklen_t length = sizeof(type);
    if (count == 1 && timeout >= 0 &&
        getsockopt(descriptors[0].fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && type == SOCK_SEQPACKET)
        timeout = 2000;
    return next(descriptors, count, timeout);
}
