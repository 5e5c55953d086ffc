/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NETPLUGIN_ABI_H
#define NETPLUGIN_ABI_H

/*
 * The binary interface of NCCL net plugins, as far as we use it: tables v7
 * and v8, their properties, the device handle, and the scatter metadata of a
 * plugin whose device type is UNPACK. Declared by us; every size and offset
 * is asserted at the end, for LP64.
 *
 * A plugin is a shared object that exports one or more tables by name. The
 * meaning of every call, and which thread may make it when, is in
 * docs/netplugin.md.
 */

#include <stddef.h>
#include <stdint.h>

#define NETPLUGIN_SYMBOL_V7 "ncclNetPlugin_v7"
#define NETPLUGIN_SYMBOL_V8 "ncclNetPlugin_v8"

#define NETPLUGIN_HANDLE_BYTES 128u /* what listen() fills for connect() */

enum netplugin_result {
	NETPLUGIN_OK = 0,
	NETPLUGIN_ECUDA = 1,
	NETPLUGIN_ESYSTEM = 2,
	NETPLUGIN_EINTERNAL = 3,
	NETPLUGIN_EARGUMENT = 4,
	NETPLUGIN_EUSAGE = 5,
	NETPLUGIN_EREMOTE = 6,
	NETPLUGIN_INPROGRESS = 7,
	NETPLUGIN_ETIMEOUT = 8,
};

/* Kinds of memory: a type argument of regMr, bits of ptr_support. */
enum netplugin_ptr {
	NETPLUGIN_PTR_HOST = 1,
	NETPLUGIN_PTR_CUDA = 2,
	NETPLUGIN_PTR_DMABUF = 4,
};

/* Where received bytes are: HOST means at the address that was posted. */
enum netplugin_device_type {
	NETPLUGIN_DEVICE_HOST = 0,
	NETPLUGIN_DEVICE_UNPACK = 1,
};

#define NETPLUGIN_UNPACK_VERSION 7

enum netplugin_log_level {
	NETPLUGIN_LOG_NONE = 0,
	NETPLUGIN_LOG_VERSION = 1,
	NETPLUGIN_LOG_WARN = 2,
	NETPLUGIN_LOG_INFO = 3,
	NETPLUGIN_LOG_ABORT = 4,
	NETPLUGIN_LOG_TRACE = 5,
};

#define NETPLUGIN_LOG_FLAG_INIT 0x1ul
#define NETPLUGIN_LOG_FLAG_NET 0x10ul

/* Without a format attribute: what plugins pass does not always match. */
typedef void (*netplugin_log_fn)(int level, unsigned long flags,
				 const char *file, int line, const char *fmt,
				 ...);

struct netplugin_props_v7 {
	char *name;
	char *pci_path; /* NULL: no PCI device */
	uint64_t guid;
	int ptr_support; /* bits of enum netplugin_ptr */
	int speed_mbps;
	int port;
	float latency_us;
	int max_comms;
	int max_recvs; /* most receives in one irecv() */
	int device_type;
	int device_version;
};

struct netplugin_props_v8 {
	char *name;
	char *pci_path;
	uint64_t guid;
	int ptr_support;
	int reg_is_global; /* a registration serves every comm */
	int speed_mbps;
	int port;
	float latency_us;
	int max_comms;
	int max_recvs;
	int device_type;
	int device_version;
};

/*
 * What accept() writes through its last argument when the device type is not
 * HOST. The caller owns the 32 bytes, zeroed, and passes the address of a
 * pointer to them.
 */
struct netplugin_device_handle {
	int type;
	int version;
	void *handle; /* device memory, size_bytes of it */
	size_t size_bytes;
	int needs_proxy_progress;
};

/* Every function returns enum netplugin_result. */
struct netplugin_v7 {
	const char *name;
	int (*init)(netplugin_log_fn log);
	int (*devices)(int *n_devices);
	int (*get_properties)(int dev, struct netplugin_props_v7 *props);
	int (*listen)(int dev, void *handle, void **lcomm);
	int (*connect)(int dev, void *handle, void **scomm,
		       struct netplugin_device_handle **send_handle);
	int (*accept)(void *lcomm, void **rcomm,
		      struct netplugin_device_handle **recv_handle);
	int (*reg_mr)(void *comm, void *data, int size_bytes, int type,
		      void **mhandle);
	int (*reg_mr_dmabuf)(void *comm, void *data, size_t size_bytes,
			     int type, uint64_t off, int fd, void **mhandle);
	int (*dereg_mr)(void *comm, void *mhandle);
	int (*isend)(void *scomm, void *data, int size_bytes, int tag,
		     void *mhandle, void **request);
	int (*irecv)(void *rcomm, int n, void **data, int *sizes_bytes,
		     int *tags, void **mhandles, void **request);
	int (*iflush)(void *rcomm, int n, void **data, int *sizes_bytes,
		      void **mhandles, void **request);
	int (*test)(void *request, int *done, int *sizes_bytes);
	int (*close_send)(void *scomm);
	int (*close_recv)(void *rcomm);
	int (*close_listen)(void *lcomm);
	int (*get_device_mr)(void *comm, void *mhandle, void **device_mhandle);
	int (*irecv_consumed)(void *rcomm, int n, void *request);
};

/* v7 with a wider size in reg_mr and other properties. */
struct netplugin_v8 {
	const char *name;
	int (*init)(netplugin_log_fn log);
	int (*devices)(int *n_devices);
	int (*get_properties)(int dev, struct netplugin_props_v8 *props);
	int (*listen)(int dev, void *handle, void **lcomm);
	int (*connect)(int dev, void *handle, void **scomm,
		       struct netplugin_device_handle **send_handle);
	int (*accept)(void *lcomm, void **rcomm,
		      struct netplugin_device_handle **recv_handle);
	int (*reg_mr)(void *comm, void *data, size_t size_bytes, int type,
		      void **mhandle);
	int (*reg_mr_dmabuf)(void *comm, void *data, size_t size_bytes,
			     int type, uint64_t off, int fd, void **mhandle);
	int (*dereg_mr)(void *comm, void *mhandle);
	int (*isend)(void *scomm, void *data, int size_bytes, int tag,
		     void *mhandle, void **request);
	int (*irecv)(void *rcomm, int n, void **data, int *sizes_bytes,
		     int *tags, void **mhandles, void **request);
	int (*iflush)(void *rcomm, int n, void **data, int *sizes_bytes,
		      void **mhandles, void **request);
	int (*test)(void *request, int *done, int *sizes_bytes);
	int (*close_send)(void *scomm);
	int (*close_recv)(void *rcomm);
	int (*close_listen)(void *lcomm);
	int (*get_device_mr)(void *comm, void *mhandle, void **device_mhandle);
	int (*irecv_consumed)(void *rcomm, int n, void *request);
};

/*
 * Unpack, version 7: where the bytes of a receive are.
 *
 *   device handle .handle -> 24 bytes of device memory
 *        meta   -> struct netplugin_unpack_meta, pinned and mapped host memory
 *        bounce -> base of the pool of pages; src_off counts from here
 *        head   starts as all ones; for consumers that count on the device
 *
 * The n-th receive posted on a comm, from 0, uses queue slot n mod 16. Its
 * entries and count are valid from the test() that reports it done to its
 * irecv_consumed(). Entries are in no order; dst_off counts from the start
 * of the receive.
 */
#define NETPLUGIN_UNPACK_SLOTS 16u
#define NETPLUGIN_UNPACK_ENTRIES 2048u

struct netplugin_unpack_entry {
	uint32_t src_off;
	uint32_t len_bytes;
	uint64_t dst_off;
} __attribute__((aligned(16)));

struct netplugin_unpack_meta {
	struct netplugin_unpack_entry entries[NETPLUGIN_UNPACK_SLOTS]
					     [NETPLUGIN_UNPACK_ENTRIES];
	uint64_t counts[NETPLUGIN_UNPACK_SLOTS];
};

struct netplugin_unpack_handle {
	struct netplugin_unpack_meta *meta;
	void *bounce;
	uint64_t head;
};

#define NETPLUGIN_AT(type, field, off)                                         \
	_Static_assert(offsetof(struct type, field) == (off),                  \
		       #type "." #field " is at " #off)
#define NETPLUGIN_IS(type, bytes)                                              \
	_Static_assert(sizeof(struct type) == (bytes), #type " is " #bytes)

NETPLUGIN_AT(netplugin_props_v7, name, 0);
NETPLUGIN_AT(netplugin_props_v7, pci_path, 8);
NETPLUGIN_AT(netplugin_props_v7, guid, 16);
NETPLUGIN_AT(netplugin_props_v7, ptr_support, 24);
NETPLUGIN_AT(netplugin_props_v7, speed_mbps, 28);
NETPLUGIN_AT(netplugin_props_v7, port, 32);
NETPLUGIN_AT(netplugin_props_v7, latency_us, 36);
NETPLUGIN_AT(netplugin_props_v7, max_comms, 40);
NETPLUGIN_AT(netplugin_props_v7, max_recvs, 44);
NETPLUGIN_AT(netplugin_props_v7, device_type, 48);
NETPLUGIN_AT(netplugin_props_v7, device_version, 52);
NETPLUGIN_IS(netplugin_props_v7, 56);

NETPLUGIN_AT(netplugin_props_v8, name, 0);
NETPLUGIN_AT(netplugin_props_v8, pci_path, 8);
NETPLUGIN_AT(netplugin_props_v8, guid, 16);
NETPLUGIN_AT(netplugin_props_v8, ptr_support, 24);
NETPLUGIN_AT(netplugin_props_v8, reg_is_global, 28);
NETPLUGIN_AT(netplugin_props_v8, speed_mbps, 32);
NETPLUGIN_AT(netplugin_props_v8, port, 36);
NETPLUGIN_AT(netplugin_props_v8, latency_us, 40);
NETPLUGIN_AT(netplugin_props_v8, max_comms, 44);
NETPLUGIN_AT(netplugin_props_v8, max_recvs, 48);
NETPLUGIN_AT(netplugin_props_v8, device_type, 52);
NETPLUGIN_AT(netplugin_props_v8, device_version, 56);
NETPLUGIN_IS(netplugin_props_v8, 64);

NETPLUGIN_AT(netplugin_device_handle, type, 0);
NETPLUGIN_AT(netplugin_device_handle, version, 4);
NETPLUGIN_AT(netplugin_device_handle, handle, 8);
NETPLUGIN_AT(netplugin_device_handle, size_bytes, 16);
NETPLUGIN_AT(netplugin_device_handle, needs_proxy_progress, 24);
NETPLUGIN_IS(netplugin_device_handle, 32);

/* Both tables: 19 pointers in the same order. */
#define NETPLUGIN_TABLE(table)                                                 \
	NETPLUGIN_AT(table, name, 0);                                          \
	NETPLUGIN_AT(table, init, 8);                                          \
	NETPLUGIN_AT(table, devices, 16);                                      \
	NETPLUGIN_AT(table, get_properties, 24);                               \
	NETPLUGIN_AT(table, listen, 32);                                       \
	NETPLUGIN_AT(table, connect, 40);                                      \
	NETPLUGIN_AT(table, accept, 48);                                       \
	NETPLUGIN_AT(table, reg_mr, 56);                                       \
	NETPLUGIN_AT(table, reg_mr_dmabuf, 64);                                \
	NETPLUGIN_AT(table, dereg_mr, 72);                                     \
	NETPLUGIN_AT(table, isend, 80);                                        \
	NETPLUGIN_AT(table, irecv, 88);                                        \
	NETPLUGIN_AT(table, iflush, 96);                                       \
	NETPLUGIN_AT(table, test, 104);                                        \
	NETPLUGIN_AT(table, close_send, 112);                                  \
	NETPLUGIN_AT(table, close_recv, 120);                                  \
	NETPLUGIN_AT(table, close_listen, 128);                                \
	NETPLUGIN_AT(table, get_device_mr, 136);                               \
	NETPLUGIN_AT(table, irecv_consumed, 144);                              \
	NETPLUGIN_IS(table, 152)

NETPLUGIN_TABLE(netplugin_v7);
NETPLUGIN_TABLE(netplugin_v8);

NETPLUGIN_AT(netplugin_unpack_entry, src_off, 0);
NETPLUGIN_AT(netplugin_unpack_entry, len_bytes, 4);
NETPLUGIN_AT(netplugin_unpack_entry, dst_off, 8);
NETPLUGIN_IS(netplugin_unpack_entry, 16);
NETPLUGIN_AT(netplugin_unpack_meta, entries, 0);
NETPLUGIN_AT(netplugin_unpack_meta, counts, 524288);
NETPLUGIN_IS(netplugin_unpack_meta, 524416);
NETPLUGIN_AT(netplugin_unpack_handle, meta, 0);
NETPLUGIN_AT(netplugin_unpack_handle, bounce, 8);
NETPLUGIN_AT(netplugin_unpack_handle, head, 16);
NETPLUGIN_IS(netplugin_unpack_handle, 24);

#endif
