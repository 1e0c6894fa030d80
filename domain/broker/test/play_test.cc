#include "domain/broker/test/play.h"

#include <gtest/gtest.h>
#include <random>

namespace bulkhead::domain::test {
namespace {

TEST(Broker, keeps_its_books_whatever_happens)
{
	std::mt19937 random(20261122);
	for (unsigned i = 0; i < 400; ++i) {
		std::vector<uint8_t> script(200 + i);
		for (uint8_t &byte : script) byte = static_cast<uint8_t>(random());
		Play const play(script);
	}
}

} // namespace
} // namespace bulkhead::domain::test
