/*
 * A workload of gethostlatency: a program with another C library than the tests' own. It speaks their protocol:
 * a line when it stands at its gate, a byte that opens it, an account as its last line.
 */
#define _GNU_SOURCE
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The error of getaddrinfo; a host that is no address in numbers is none. */
static int look_up(const char *host)
{
	struct addrinfo hints = { .ai_family = AF_INET, .ai_flags = AI_NUMERICHOST };
	struct addrinfo *found = NULL;
	int error = getaddrinfo(host, NULL, &hints, &found);

	if (found)
		freeaddrinfo(found);
	return error;
}

int main(void)
{
	struct hostent room, *found = NULL;
	char gate, buffer[1024];
	int error, none;

	puts("{}");
	fflush(stdout);
	if (read(0, &gate, 1) < 0)
		return 1;
	error = look_up("127.0.0.5");
	none = look_up("none.test");
	if (!gethostbyname("127.0.0.6") || !gethostbyname2("127.0.0.7", AF_INET))
		return 2;
	if (gethostbyname_r("127.0.0.8", &room, buffer, sizeof buffer, &found, &(int){ 0 }) || !found)
		return 3;
	printf("{\"errors\":[%d,%d],\"pid\":%d}\n", error, none, getpid());
	return error != 0 || none != EAI_NONAME;
}
