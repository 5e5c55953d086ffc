/* SPDX-License-Identifier: Apache-2.0 */

/* The pool of a GPU, asked of a stand-in for the receive daemon. */

#include <sys/mman.h>

#include "check.h"
#include "fakes/netplugin/rxdm.h"
#include "transport/netplugin/daemon.h"

#define PCI "0000:04:00.0"
#define POOL_BYTES (4u << 20)

static char dir[] = "/tmp/tcpx-rxdm-XXXXXX";
static char why[300];
static struct rxdm_pool pool = {PCI, -1, POOL_BYTES};

static void begin(enum rxdm_way way)
{
	CHECK(mkdtemp(dir));
	pool.fd = memfd_create("pool", MFD_CLOEXEC);
	CHECK_EQ(ftruncate(pool.fd, POOL_BYTES), 0);
	CHECK_EQ(pwrite(pool.fd, "here", 4, POOL_BYTES - 4), 4);
	CHECK_EQ(rxdm_serve(dir, &pool, way), 0);
}

static void given(void)
{
	struct daemon_pool got;
	char bytes[5] = "";

	begin(RXDM_GOOD);
	for (int i = 0; i < 3; i++) {
		CHECK_STATUS(daemon_ask_pool(dir, PCI, 20000, &got, why,
					     sizeof(why)),
			     TCPX_OK);
		CHECK_EQ(got.len_bytes, POOL_BYTES);
		CHECK_EQ(pread(got.fd, bytes, 4, POOL_BYTES - 4), 4);
		CHECK_STR(bytes, "here");
		CHECK(fcntl(got.fd, F_GETFD) & FD_CLOEXEC);
		close(got.fd);
	}
	rxdm_clean(dir);
}

static void refuse(enum rxdm_way way, uint32_t limit_ms, const char *word)
{
	struct daemon_pool got;

	begin(way);
	CHECK_STATUS(daemon_ask_pool(dir, PCI, limit_ms, &got, why,
				     sizeof(why)),
		     TCPX_EUNSUPPORTED);
	CHECK_EQ(got.fd, -1);
	CHECK(strstr(why, word));
	rxdm_clean(dir);
}

static void silent(void)
{
	refuse(RXDM_SILENT, 50, "metadata");
}

static void closes(void)
{
	refuse(RXDM_CLOSES, 20000, "metadata");
}

static void junk(void)
{
	refuse(RXDM_JUNK, 20000, "metadata");
}

static void empty(void)
{
	refuse(RXDM_EMPTY, 20000, "metadata");
}

static void without_fd(void)
{
	refuse(RXDM_WITHOUT_FD, 20000, "get_gpu_fd");
}

static void nobody(void)
{
	struct daemon_pool got;

	CHECK_STATUS(daemon_ask_pool("/nowhere", PCI, 20000, &got, why,
				     sizeof(why)),
		     TCPX_EUNSUPPORTED);
	CHECK(strstr(why, "/nowhere/get_gpu_metadata_" PCI));
}

static void another_gpu(void)
{
	struct daemon_pool got;

	begin(RXDM_GOOD);
	CHECK_STATUS(daemon_ask_pool(dir, "0000:05:00.0", 20000, &got, why,
				     sizeof(why)),
		     TCPX_EUNSUPPORTED);
	rxdm_clean(dir);
}

static const struct check_case cases[] = {
	{"given", given, 60},	{"silent", silent, 0},
	{"closes", closes, 60}, {"junk", junk, 60},
	{"empty", empty, 60},	{"without_fd", without_fd, 60},
	{"nobody", nobody, 60}, {"another_gpu", another_gpu, 60},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
