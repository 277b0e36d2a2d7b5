//! The only writer: carries out checked plans, through open descriptors.
