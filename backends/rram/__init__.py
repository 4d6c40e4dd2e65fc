"""Multi-core machines that compute products in crossbars of resistive memory."""
