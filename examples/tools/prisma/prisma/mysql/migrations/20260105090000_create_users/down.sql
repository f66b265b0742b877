-- DropTable
DROP TABLE `users`;
