/*
 * Every limit and timer of the wire and of the components, named once.
 *
 * Sizes are bytes, counts are elements, timers are milliseconds (_ms) or microseconds (_us).
 * Freestanding: usable by ashlar-exec and by the daemons alike.
 */
/* This folder is searched before the compiler's own limits.h, which includes <limits.h> again to
   reach the C library's: outside the guard. ashlar-exec has none. */
#if __STDC_HOSTED__
#include_next <limits.h>
#endif

#ifndef ASHLAR_PROTO_LIMITS_H
#define ASHLAR_PROTO_LIMITS_H

/* The shape of memory. A line is the unit of the ExCache and of the wire: one host page. */
#define LINE_SHIFT    12
#define LINE_SIZE     (1u << LINE_SHIFT)
#define VREGION_SHIFT 26 /* 64 MiB: docs/decisions/0021-small-vregions.md */
#define VREGION_LINES (1u << (VREGION_SHIFT - LINE_SHIFT))
#define WINDOW_START  0x10000ull        /* 64 KiB: the lowest address a program may use */
#define WINDOW_END    0x400000000000ull /* 64 TiB: the first address that it may not */
#define VREGION_COUNT (WINDOW_END >> VREGION_SHIFT)

/* One frame on the wire. The largest carries FETCH_MAX_LINES lines and their description. */
#define FETCH_MAX_LINES   96u           /* lines in one LINE_FETCH reply */
#define WRITE_MAX_LINES   64u           /* lines in one LINE_WRITE */
#define OPS_MAX           256u          /* vm_op records in one SPACE_OPS or LINE_FETCH */
#define OPS_FILES_MAX     8u            /* files that these map */
#define TRAIL_FILES_MAX   32u           /* files in the trail of a program's start */
#define TRAIL_RUNS_MAX    256u          /* runs of lines in it */
#define GRANT_MAX         1024u         /* vRegions in one VREGION_GRANT */
#define FILE_IO_MAX       (256u * 1024) /* data bytes in one FILE_READ or FILE_WRITE */
#define LOG_IO_MAX        (260u * 1024) /* data bytes in one LOG_WRITE or LOG_READ */
#define LOG_SIZE_MAX      (1ull << 44)  /* bytes of a log */
#define SEGMENT_IO_MAX    (128u * 1024) /* data bytes in one SEGMENT_PULL or SEGMENT_PUSH */
#define PATH_LIMIT        4096u         /* bytes of a path, with its final NUL where it has one */
#define NAME_LIMIT        16u           /* bytes of a component's or rack's name, with its NUL */
#define ADDRESS_LIMIT     64u           /* bytes of a transport address, with its NUL */
#define WATCH_READ_MAX    (64u * 1024) /* bytes of events in one WATCH_READ or INOTIFY_READ reply */
#define DIR_REPLY_MAX     (64u * 1024) /* bytes of entries in one DIR_READ reply */
#define FRAME_MAX         (512u * 1024) /* bytes of a frame after its header: the decoder's bound */
#define PREAUTH_FRAME_MAX 256u          /* the same before a peer has authenticated */
#define GROUPS_MAX        64u           /* groups of a process that count at files */
#define SYMLINK_MAX       40u           /* links followed in one path, as Linux */

/* Connections. */
#define CONNECT_TIMEOUT_MS   1000u /* connect and authenticate */
#define HANDSHAKE_TIMEOUT_MS 2000u /* a server gives up on a silent, unauthenticated peer */
#define CONNECTIONS_MAX      1024u /* open at one monitor at a time */
#define KEY_SIZE             32u   /* bytes of a cluster key */
#define NONCE_SIZE           32u
#define PROOF_SIZE           32u /* HMAC-SHA-256 */

/* Requests. */
#define MEMORY_TIMEOUT_MS  1500u /* a memory monitor that has not answered by then is lost */
#define MEMORY_PATIENCE_MS 300u  /* a process asks its node about one that is silent for so long */
#define LOCATE_TIMEOUT_MS  3000u /* a node looks for a part of an address space so long */
#define STORAGE_TIMEOUT_MS 5000u /* file calls wait and retry this long, then EIO */
/*
 * A process's connections to an sComponent at a time, each of which has a number, its lane. The two
 * top bits of a request's id are its lane.
 */
#define LANES      4u
#define LANE_SHIFT 62
/* What a process held is kept this long when all its connections to an sComponent broke. */
#define LINGER_MS 5000u
/* A description that was sent to another process is held this long until that holds it. */
#define TRANSIT_MS 5000u
/* A memory monitor waits this long for an sComponent: less than MEMORY_TIMEOUT_MS, or its clients
   would take it for lost. */
#define BACKING_TIMEOUT_MS 1000u
/* For it to keep the files open that one request maps, before their first lines are asked for. */
#define HOLD_TIMEOUT_MS   250u
/* A log's sComponent, which may be restarted, is waited for so long; then what is in it is lost. */
#define LOG_PATIENCE_MS 5000u
#define LOG_TIMEOUT_MS  1000u /* one request of it */
/* The log of an mComponent that is down is kept so long: it may have been frozen; and one of a
   process that the registry's list does not name, which may be older than that is. */
#define LOG_GONE_MS       10000u
#define GLOBAL_TIMEOUT_MS 2000u
#define NODE_TIMEOUT_MS   3000u

/* Leases and heartbeats. */
#define HEARTBEAT_MS   200u
#define LEASE_MS       800u  /* a component silent for this long is down */
#define SPACE_GRACE_MS 3000u /* an address space without any connection is freed after this */

/* Spinning before sleeping, where another CPU is idle: about twice what waking an idle CPU takes
   (measured: 40 to 50 us in a virtual machine), so that who spins outlasts the other's waking. */
#define SPIN_US 100u
/* Between two tries, about half a microsecond: a try takes the socket's lock, which the arriving
   data needs too. */
#define SPIN_PAUSES 20u
/* Waits that a new connection begins asleep: a program that starts, asks this little and ends needs
   the CPUs for other things (with two of them, fork + exec + wait takes 4 % less). */
#define SPIN_AFTER 16u

#endif
