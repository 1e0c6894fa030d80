// tpm-random on Linux: the driver runs in this process, on /dev/spidev or the simulated wire.

#include "component/tpm_random/random_source.h"
#include "sdk/host_tpm/host_tpm.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace bulkhead;

// As the manual page has them.
enum Exit {
	SUCCESS = 0,
	OUTPUT = 1,
	USAGE = 2,
	NO_DEVICE = 3,
	NO_TPM = 4,
	DRIVER = 5,
	REFUSED = 6
};

struct Options
{
	size_t bytes = 32;
	bool raw = false;
	std::string spidev;
	std::string sim;
};

constexpr size_t BYTES_MAX = 1 << 20;

int parse(int argc, char **argv, Options &options)
{
	CLI::App app{
		"Prints random bytes from a TPM, whose driver runs in this program.", "tpm-random"};
	bool hex = false;
	app.add_option("--bytes", options.bytes, "How many (default: 32)")
		->check(CLI::Range(size_t{1}, BYTES_MAX));
	auto *const raw = app.add_flag("--raw", options.raw, "Print the bytes as they are");
	app.add_flag("--hex", hex, "Print them in hexadecimal, as by default")->excludes(raw);
	auto *const tpm = app.add_option_group("TPM", "where the TPM is");
	tpm->add_option("--spidev", options.spidev, "The TPM behind this device, e.g. /dev/spidev0.1")
		->type_name("DEVICE");
	tpm->add_option("--sim", options.sim,
		   "A simulated chip, with the swtpm that listens at this socket (path or host:port)")
		->type_name("SOCKET");
	tpm->require_option(1);
	app.footer(
		"DEVICE and SOCKET may be followed by ,OPTION=VALUE as in tpm-random(1).\n"
		"Exit codes: 0 success, 1 output failed, 2 wrong usage, 3 no such device or socket,\n"
		"4 no TPM behind it, 5 the TPM's interface failed, 6 the TPM refused.");
	try {
		app.parse(argc, argv);
	} catch (CLI::ParseError const &error) {
		return app.exit(error) == 0 ? -1 : USAGE;
	}
	return SUCCESS;
}

int complain(int code, std::string const &message)
{
	fprintf(stderr, "tpm-random: %s\n", message.c_str());
	return code;
}

int exit_of(tpm::Error error)
{
	if (error == tpm::Error{}) return NO_DEVICE; // the driver wasn't reached
	switch (error) {
	case tpm::Error::GONE:
	case tpm::Error::NO_TPM:
	case tpm::Error::NOT_FIFO:
	case tpm::Error::NOT_TPM2: return NO_TPM;
	default: return DRIVER;
	}
}

int failed(tpm_random::Random_source const &source, tpm_random::Error error)
{
	std::string message(name_of(error));
	if (error == tpm_random::Error::DRIVER)
		return complain(DRIVER, message + ": " + std::string(name_of(source.driver_error())));
	if (error != tpm_random::Error::REFUSED) return complain(DRIVER, message);
	char code[16];
	snprintf(code, sizeof(code), "0x%03x", static_cast<unsigned>(source.response_code()));
	return complain(REFUSED, message + ": TPM_RC " + code);
}

bool print(Bytes bytes, bool raw)
{
	if (raw) {
		fwrite(bytes.data(), 1, bytes.size(), stdout);
	} else {
		for (uint8_t const byte : bytes) printf("%02x", byte);
		putchar('\n');
	}
	return fflush(stdout) == 0 && !ferror(stdout);
}

} // namespace

int main(int argc, char **argv)
{
	Options options;
	if (int const code = parse(argc, argv, options); code != SUCCESS) return code < 0 ? 0 : code;

	sdk::Host_tpm tpm;
	std::string const name =
		options.sim.empty() ? "spidev:" + options.spidev : "sim:" + options.sim;
	Attempt<void> const opened = tpm.open(name);
	if (!opened.ok()) {
		bool const usage = opened.error() == Error::INVALID;
		return complain(usage ? USAGE : exit_of(tpm.driver_error()), tpm.message());
	}

	tpm.bus().let_chip_block(true); // there is nothing else to do
	std::vector<uint8_t> random(options.bytes);
	tpm_random::Random_source source{tpm.tis()};
	auto const filled = tpm.bus().run(source.fill(tpm.bus().job(), random));
	if (!filled.ok()) return failed(source, filled.error());
	if (!print(random, options.raw)) return complain(OUTPUT, "the bytes can't be written");
	return SUCCESS;
}
