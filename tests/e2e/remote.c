/* SPDX-License-Identifier: Apache-2.0 */
#include "e2e/remote.h"

#include "check.h"
#include "e2e/hex.h"
#include "support/scale.h"

void remote_start(struct remote *remote, const char *name, const char *netns,
		  const char *const env[])
{
	char name_var[96], path[4096];
	const char *vars[24] = {name_var, scale_tsan() ? "TCPX_WORKERS=1" :
							 "TCPX_WORKERS=2"};
	const char *argv[] = {path, NULL};
	size_t n = 2;
	const char *line;

	snprintf(path, sizeof(path), "%s", proc_path("TEST_PEERD", "peerd"));
	if (access(path, X_OK))
		snprintf(path, sizeof(path), "%s",
			 proc_path("TEST_PEERD", "../e2e/peerd"));
	snprintf(name_var, sizeof(name_var), "TCPX_NAME=%s", name);
	if (!netns)
		vars[n++] = "TCPX_IFNAMES=lo";
	for (; env && *env; env++) {
		CHECK(n < 23);
		vars[n++] = *env;
	}
	memset(remote, 0, sizeof(*remote));
	proc_start(&remote->proc, netns, vars, argv);
	line = proc_line(&remote->proc, scale_ms(10000));
	CHECK(line);
	CHECK_EQ(sscanf(line, "ok %hu %8192s", &remote->port, remote->blob), 2);
}

const char *remote_check(const char *answer, struct remote *remote,
			 const char *file, int line)
{
	if (answer)
		return answer;
	fprintf(stderr, "%s:%d: peerd says: %s\n", file, line,
		remote->proc.line ? remote->proc.line : "nothing");
	_exit(1);
}

int remote_connect(struct remote *remote, struct sess *sess, int timeout_ms)
{
	uint8_t blob[TCPX_BLOB_MAX];
	size_t len = hex_decode(remote->blob, blob, sizeof(blob));
	int status;

	CHECK_STATUS(tcpx_peer_connect(sess->s, blob, len, &remote->peer),
		     TCPX_OK);
	status = tcpx_peer_wait(sess->s, remote->peer, timeout_ms);
	return status;
}

void remote_join(struct remote *remote, struct sess *sess)
{
	const char *answer;

	CHECK_STATUS(remote_connect(remote, sess, scale_ms(10000)), TCPX_OK);
	answer = remote_must(remote, "peer %d", scale_ms(10000));
	remote->back = strtoull(answer, NULL, 10);
	CHECK(remote->back != 0);
}

uint64_t remote_mem(struct remote *remote, struct sess *sess,
		    uint64_t len_bytes, uint64_t seed, uint32_t access,
		    unsigned int *index)
{
	const char *answer = remote_must(remote, "mem %llu %llu %u",
					 (unsigned long long)len_bytes,
					 (unsigned long long)seed, access);
	uint8_t blob[512];
	uint64_t handle;
	size_t len, n;
	int at = 0;

	CHECK(sscanf(answer, "%u %n", index, &at) == 1 && at > 0);
	len = hex_decode(answer + at, blob, sizeof(blob));
	CHECK_STATUS(tcpx_mem_load(sess->s, blob, len, &handle, 1, &n),
		     TCPX_OK);
	return handle;
}

uint64_t remote_load(struct remote *remote, struct sess *sess, uint64_t mem)
{
	char blob[512], hex[1025];
	size_t len;

	CHECK_STATUS(tcpx_mem_blob(sess->s, &mem, 1, blob, sizeof(blob), &len),
		     TCPX_OK);
	hex_encode(blob, len, hex);
	return strtoull(remote_must(remote, "load %s", hex), NULL, 10);
}

void remote_end(struct remote *remote)
{
	int status;

	proc_send(&remote->proc, "quit");
	status = proc_stop(&remote->proc);
	if (status)
		fprintf(stderr, "peerd ended with wait status 0x%x\n", status);
	CHECK_EQ(status, 0);
}

void remote_kill(struct remote *remote)
{
	proc_kill(&remote->proc);
}
